package capture

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/server/internal/fanout"
)

// Audience is what a NATS server in this process tells of who listens there.
type Audience interface {
	// State is how many there are, and how many came and went.
	State() (AudienceState, error)
	// Subscriptions are all there are, and the state before they were looked up.
	Subscriptions() ([]Subscribed, AudienceState, error)
}

// AudienceState counts subscriptions.
type AudienceState struct {
	Subscriptions int
	Begun, Ended  uint64 // since the server has started
}

// Subscribed is a subscription as NATS knows it.
type Subscribed struct {
	Client         uint64 // whose it is
	Number         string // that the client has given it
	Subject, Group string
}

const (
	// lookUpShare is how many times as long as a look at all subscriptions has taken nobody looks again. One takes about 10 ms of
	// CPU and keeps 8 MiB with 10,000 of them.
	lookUpShare = 20
	// largestAudience is how many subscriptions are looked at. Where there are more somebody listens anyway.
	largestAudience = 1 << 15
	// audienceKept is for how long who listens is kept while nobody asks.
	audienceKept = time.Minute
)

// audience is who listens, as far as it is known.
type audience struct {
	asked   atomic.Uint64 // how often somebody has asked for it
	unknown atomic.Uint64 // how often the answer was that it is not known

	mu       sync.Mutex
	answered uint64            // how often had by when it was found out last
	answer   *fanout.Listeners // what that was
	at       time.Time         // when that was
	last     *fanout.Listeners // looked up last
	state    AudienceState     // as of last
	rested   time.Time         // from when on it may be looked up again
}

// Listeners are who listens on NATS now; nil: it is not known. Whoever is not among them has not begun to listen before this was
// called; who is may have ceased to.
func (s *Source) Listeners() *fanout.Listeners {
	if s.config.Audience == nil {
		return nil
	}
	a := &s.audience
	asked := a.asked.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if asked > a.answered { // else it was found out for somebody else, and not before we asked
		a.answered, a.at = a.asked.Load(), time.Now()
		a.answer = s.findListeners()
	}
	if a.answer == nil {
		a.unknown.Add(1)
	}
	return a.answer
}

// findListeners looks up who listens if anybody has come since. Those who have gone do no harm, and are looked for when it costs
// little. The caller holds audience.mu.
func (s *Source) findListeners() *fanout.Listeners {
	a := &s.audience
	now, err := s.config.Audience.State()
	rests := a.at.Before(a.rested)
	switch {
	case err != nil:
		return nil
	case a.last != nil && (now == a.state || now.Begun == a.state.Begun && rests || mutant("capture-audience-outdated")):
		return a.last
	case rests, now.Subscriptions > largestAudience:
		return nil
	}
	if a.last, a.state, err = s.lookUpListeners(); err != nil {
		s.config.Logger.Error("who listens on nats is not known; all is fanned out", "error", err)
	}
	ended := time.Now()
	a.rested = ended.Add(lookUpShare * ended.Sub(a.at))
	return a.last
}

// forget lets go of who listens if nobody has asked for a while.
func (a *audience) forget(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.at) > audienceKept {
		a.last, a.answer = nil, nil
	}
}

func (s *Source) lookUpListeners() (*fanout.Listeners, AudienceState, error) {
	all, state, err := s.config.Audience.Subscriptions()
	if err != nil {
		return nil, AudienceState{}, err
	}
	client := s.client.Load()
	found := fanout.NewListeners()
	for i := range all {
		if names.Reserved(all[i].Subject) || all[i].Client == client && mutant("capture-audience-without-us") {
			continue // nothing is fanned out there
		}
		stream := uuid.Nil
		if all[i].Client == client {
			stream = s.dispatcher.listens.streamOf(&all[i])
		}
		if err := found.AddStream(all[i].Subject, stream); err != nil {
			return nil, AudienceState{}, err
		}
	}
	return found, state, nil
}

// streamOf is the stream that a subscription of the connection that captures is for; uuid.Nil: none any more, or one in a queue
// group, where others may be who are no streams.
func (l *listening) streamOf(s *Subscribed) uuid.UUID {
	sid, err := strconv.ParseInt(s.Number, 10, 64)
	if r := l.of(sid); err == nil && r != nil && (s.Group == "" || mutant("capture-audience-groups")) {
		return r.target.UUID
	}
	return uuid.Nil
}
