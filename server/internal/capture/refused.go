package capture

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/proto/batch"
)

// ErrNotAllowed means that NATS does not let the broker subscribe.
var ErrNotAllowed = errors.New("NATS does not allow it; give the user of the broker the right to subscribe there, or another user with --nats-creds")

// retryRefused is how often a subscription that NATS has refused is tried again.
const retryRefused = 5 * time.Second

// standing says whether NATS has refused a subscription. NATS tells of that by the way and confirms it all the same, also
// much later: when it is restarted, or told to allow less.
type standing struct {
	refused atomic.Bool  // that was asked for last
	since   atomic.Int64 // from when on nothing may have been heard, unix nanoseconds; 0: all was
}

// refusal takes in an error line of NATS that is about subscriptions. It is called before anything is read that follows.
func (l *listening) refusal(line []byte, now int64) {
	text := strings.ToLower(string(line))
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(text, "maximum subscriptions exceeded") {
		for _, r := range l.routes { // NATS does not say which: the newest, and none that it confirmed
			if !r.confirmed {
				r.refuseAt(now)
			}
		}
		return
	}
	if !strings.Contains(text, "permissions violation for subscription") {
		return
	}
	parts := strings.Split(string(line), "\"")
	for _, r := range l.routes {
		if len(parts) > 1 && r.subject == parts[1] {
			r.refuseAt(now)
		}
	}
}

func (r *route) refuseAt(now int64) {
	r.standing.refused.Store(true)
	r.standing.since.CompareAndSwap(0, now)
}

// confirmAll notes that NATS has seen the subscriptions of these routes, and says which it has refused.
func (l *listening) confirmAll(routes []*route) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, r := range routes {
		r.confirmed = true
		if r.standing.refused.Load() {
			errs = append(errs, fmt.Errorf("subscribing to %q: %w", r.subject, ErrNotAllowed))
		}
	}
	return errors.Join(errs...)
}

// unheard is the gap of a route that NATS refuses, or has refused, up to now.
func (r *route) unheard(now int64) (batch.Gap, bool) {
	since := r.standing.since.Load()
	return batch.Gap{Cause: batch.GapNATSDisconnected, FromTime: since, ToTime: max(since, now)}, since != 0
}

// retry subscribes once more to what NATS has refused, and writes the gap of what is heard again.
func (s *Source) retry(ctx context.Context) {
	var again []*route
	for _, r := range s.allRoutes() {
		if r.standing.since.Load() == 0 {
			continue
		}
		if !r.standing.refused.Load() || s.resubscribe(r) == nil {
			again = append(again, r)
		}
	}
	if len(again) == 0 || s.confirm(ctx, signTimeout) != nil {
		return
	}
	if err := s.dispatcher.listens.confirmAll(again); err != nil {
		s.config.Logger.Error("messages are not recorded", "error", err)
	}
	for _, r := range again {
		if gap, unheard := r.unheard(time.Now().UnixNano()); unheard && !r.standing.refused.Load() {
			r.standing.since.Store(0)
			r.gaps(gap)
		}
	}
}

// resubscribe asks for a subscription anew.
func (s *Source) resubscribe(r *route) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.active == 0 {
		return nats.ErrBadSubscription // it has ended
	}
	if err := r.unsubscribe(); err != nil {
		return err
	}
	s.dispatcher.listens.remove(r)
	return s.listen(r)
}
