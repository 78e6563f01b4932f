package capture

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/server/internal/fanout"
)

// Audience is what a NATS server in this process tells of who listens there.
type Audience interface {
	// Changes is how often anybody has begun to listen, or ceased to.
	Changes() (uint64, error)
	// Subscriptions are all there are, and Changes as it was before they were looked up.
	Subscriptions() (all []Subscribed, changes uint64, err error)
}

// Subscribed is a subscription as NATS knows it.
type Subscribed struct {
	Client         uint64 // whose it is
	Number         string // that the client has given it
	Subject, Group string
}

// audience is who listens, as far as it is known.
type audience struct {
	asked atomic.Uint64 // how often somebody has asked for it

	mu       sync.Mutex
	answered uint64            // how often had by when it was found out last
	answer   *fanout.Listeners // what that was
	last     *fanout.Listeners // looked up last
	changes  uint64            // as of last
	rested   time.Time         // from when on it may be looked up again
}

// lookUpShare is how many times as long as it has taken to look up who listens nobody looks again, where people come and go all
// the time. It takes some milliseconds with 10,000 subscriptions.
const lookUpShare = 20

// Listeners are who listens on NATS now; nil: it is not known. Whoever is not among them has not begun to listen before this was
// called.
func (s *Source) Listeners() *fanout.Listeners {
	if s.config.Audience == nil {
		return nil
	}
	a := &s.audience
	asked := a.asked.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if asked > a.answered { // else it was found out for somebody else, and not before we asked
		a.answered = a.asked.Load()
		a.answer = s.findListeners()
	}
	return a.answer
}

// findListeners looks up who listens if anybody has come or gone since. The caller holds audience.mu.
func (s *Source) findListeners() *fanout.Listeners {
	a := &s.audience
	changes, err := s.config.Audience.Changes()
	if err == nil && a.last != nil && (changes == a.changes || mutant("capture-audience-outdated")) {
		return a.last
	}
	began := time.Now()
	if err != nil || began.Before(a.rested) {
		return nil
	}
	if a.last, a.changes, err = s.lookUpListeners(); err != nil {
		s.config.Logger.Error("who listens on nats is not known; all is fanned out", "error", err)
	}
	now := time.Now()
	a.rested = now.Add(lookUpShare * now.Sub(began))
	return a.last
}

func (s *Source) lookUpListeners() (*fanout.Listeners, uint64, error) {
	all, changes, err := s.config.Audience.Subscriptions()
	if err != nil {
		return nil, 0, err
	}
	client, err := s.conn.GetClientID()
	if err != nil {
		client = 0 // we are not connected: nobody is us
	}
	found := fanout.NewListeners()
	for i := range all {
		stream := uuid.Nil
		if all[i].Client == client {
			stream = s.dispatcher.listens.streamOf(&all[i])
		}
		if err := found.AddStream(all[i].Subject, stream); err != nil {
			return nil, 0, err
		}
	}
	return found, changes, nil
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
