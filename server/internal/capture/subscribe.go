package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/proto/batch"
)

// Subscription is the capture of one partition.
type Subscription struct {
	source *Source
	taker  *taker
	routes []*route
}

// Subscribe captures what is published on the target's subjects into the sink. When it returns, the NATS server has
// confirmed it: what is published from then on is captured.
func (s *Source) Subscribe(ctx context.Context, t Target, sink Sink) (*Subscription, error) {
	sub := &Subscription{source: s, taker: &taker{sink: sink, settings: t.Settings, partition: t.Partition}}
	for _, subject := range t.Subjects {
		if err := sub.add(&t, subject); err != nil {
			return nil, errors.Join(fmt.Errorf("subscribing to %q: %w", subject, err), sub.Drain(ctx))
		}
	}
	if err := s.confirm(ctx, confirmTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribing: NATS did not confirm: %w", err), sub.Drain(ctx))
	}
	if err := s.dispatcher.listens.confirmAll(sub.routes); err != nil {
		return nil, errors.Join(err, sub.Drain(ctx))
	}
	if t.Since == 0 {
		return sub, nil
	}
	if err := sink.AppendGap(batch.Gap{Cause: batch.GapRestart, FromTime: t.Since, ToTime: max(t.Since, time.Now().UnixNano())}); err != nil {
		return nil, errors.Join(fmt.Errorf("a gap was not written: %w", err), sub.Drain(ctx))
	}
	return sub, nil
}

// add joins the route of the subject, or makes it.
func (sub *Subscription) add(t *Target, subject string) error {
	s := sub.source
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.sharedRoute(t, subject)
	if r == nil {
		var err error
		if r, err = s.makeRoute(t, subject, sub.taker); err != nil {
			return err
		}
	} else {
		r.join(sub.taker, t.Settings.Now().Partitions)
	}
	r.active++
	sub.routes = append(sub.routes, r)
	return nil
}

// streamRoutes are the routes of one stream.
type streamRoutes struct {
	rate   rate // of answers
	routes []*route
}

// sharedRoute finds the route of the subject that the partitions of the target's stream share. The caller holds mu.
func (s *Source) sharedRoute(t *Target, subject string) *route {
	stream := s.streams[t.UUID]
	if !t.Shared || stream == nil {
		return nil
	}
	for _, r := range stream.routes {
		if r.subject == subject && r.target.Shared && r.active > 0 {
			return r
		}
	}
	return nil
}

// makeRoute subscribes. The caller holds mu.
func (s *Source) makeRoute(t *Target, subject string, first *taker) (*route, error) {
	stream := s.streams[t.UUID]
	if stream == nil {
		stream = &streamRoutes{}
	}
	r := &route{source: s, subject: subject, target: *t, rate: &stream.rate}
	r.join(first, t.Settings.Now().Partitions)
	if err := s.listen(r); err != nil {
		return nil, err
	}
	stream.routes = append(stream.routes, r)
	s.streams[t.UUID] = stream
	return r, nil
}

// listen subscribes for the route. The caller holds mu.
func (s *Source) listen(r *route) (err error) {
	s.dispatcher.listens.add(r)
	if r.target.Group != "" {
		r.sub, err = s.conn.ChanQueueSubscribe(r.subject, r.target.Group, s.never)
	} else {
		r.sub, err = s.conn.ChanSubscribe(r.subject, s.never)
	}
	if err != nil {
		s.dispatcher.listens.undo(r)
	}
	return err
}

// Drain ends the capture: it unsubscribes, unless other partitions share the subjects, and returns when all that was
// received for this one is captured. If NATS is away by then, a gap says so.
func (sub *Subscription) Drain(ctx context.Context) error {
	s := sub.source
	var errs []error
	var last []*route // that nobody else shares
	s.mu.Lock()
	for _, r := range sub.routes {
		if r.active--; r.active == 0 {
			last = append(last, r)
		}
	}
	s.mu.Unlock()
	for _, r := range last {
		if err := r.unsubscribe(); err != nil {
			errs = append(errs, fmt.Errorf("draining %q: %w", r.subject, err))
		}
	}
	if s.conn.IsConnected() {
		if err := s.confirm(ctx, confirmTimeout); err != nil && s.conn.IsConnected() {
			errs = append(errs, fmt.Errorf("draining: %w", err))
		}
	}
	errs = append(errs, s.dispatcher.passed(ctx))
	if gap, _, open := s.outage.gap(time.Now().UnixNano()); open && len(sub.routes) > 0 {
		errs = append(errs, sub.taker.sink.AppendGap(gap))
	}
	for _, r := range sub.routes {
		if gap, unheard := r.unheard(time.Now().UnixNano()); unheard {
			errs = append(errs, sub.taker.sink.AppendGap(gap))
		}
	}
	sub.taker.left.Store(true)
	sub.forget(last)
	if n := sub.taker.lost.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("%d messages were received and not stored", n))
	}
	return errors.Join(errs...)
}

// unsubscribe tells NATS; messages that are under way still come, and NATS has sent them all before it confirms anything.
func (r *route) unsubscribe() error {
	err := r.sub.Unsubscribe()
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		return nil
	}
	return err
}

// forget lets go of routes that have ended.
func (sub *Subscription) forget(ended []*route) {
	s := sub.source
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range ended {
		stream := s.streams[r.target.UUID]
		stream.routes = slices.DeleteFunc(stream.routes, func(other *route) bool { return other == r })
		if len(stream.routes) == 0 {
			delete(s.streams, r.target.UUID)
		}
		s.dispatcher.listens.remove(r)
	}
}
