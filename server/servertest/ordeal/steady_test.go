package ordeal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
)

// steadyPace is how often a steady publisher publishes.
const steadyPace = 10 * time.Millisecond

// steady publishes plain messages, numbered, at an even pace, whatever happens.
type steady struct {
	quit, done chan struct{}
	next       atomic.Uint64        // number of a message that is not published yet
	published  map[uint64]time.Time // when each message was published that NATS has confirmed; to be read after done is closed
}

func startSteady(t *testing.T, url, subject string) *steady {
	t.Helper()
	closed := make(chan struct{})
	c, err := nats.Connect(url, nats.Timeout(readyLimit), nats.ErrorHandler(quiet), nats.MaxReconnects(-1),
		nats.ReconnectWait(2*steadyPace), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	p := &steady{quit: make(chan struct{}), done: make(chan struct{}), published: map[uint64]time.Time{}}
	go func() {
		defer close(p.done)
		defer func() { c.Close(); <-closed }()
		p.publish(c, subject)
	}()
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *steady) publish(c *nats.Conn, subject string) {
	ticks := time.NewTicker(steadyPace)
	defer ticks.Stop()
	for number := uint64(0); ; number++ {
		p.next.Store(number + 1)
		at := time.Now()
		err := c.Publish(subject, binary.BigEndian.AppendUint64(nil, number))
		if err == nil && c.FlushTimeout(time.Second) == nil {
			p.published[number] = at
		}
		select {
		case <-ticks.C:
		case <-p.quit:
			return
		}
	}
}

// stop ends it and returns when each message was published that NATS has confirmed.
func (p *steady) stop() map[uint64]time.Time {
	select {
	case <-p.done:
	case p.quit <- struct{}{}:
		<-p.done
	}
	return p.published
}

// records is what a partition has recorded of a steady publisher.
type records struct {
	numbers []uint64 // of messages, in order
	gaps    gaps
}

type gaps []client.Gap

func (g gaps) String() string {
	text := "no gap"
	for i := range g {
		if i == 0 {
			text = ""
		}
		text += fmt.Sprintf("[%s %s … %s, at least %d] ", g[i].Cause, g[i].From.Format(clock), g[i].To.Format(clock), g[i].AtLeast)
	}
	return text
}

const clock = "15:04:05.000"

// cover says whether a gap says of that time that messages are missing.
func (g gaps) cover(at time.Time) bool {
	return slices.ContainsFunc(g, func(one client.Gap) bool { return !at.Before(one.From) && !at.After(one.To) })
}

// window is from the begin of the first gap to the end of the last one.
func (g gaps) window() (from, to time.Time) {
	for i := range g {
		if i == 0 || g[i].From.Before(from) {
			from = g[i].From
		}
		if g[i].To.After(to) {
			to = g[i].To
		}
	}
	return from, to
}

func recordsOf(ctx context.Context, s *client.Stream) (r records, err error) {
	err = s.Handle(ctx, func(_ context.Context, m *client.Message) error {
		r.numbers = append(r.numbers, binary.BigEndian.Uint64(m.Value))
		return nil
	}, client.FromEarliest(), client.UntilLatest(), client.OnGap(func(_ int, g client.Gap) { r.gaps = append(r.gaps, g) }))
	if err != nil {
		return r, fmt.Errorf("after %d messages: %w", len(r.numbers), err)
	}
	return r, nil
}

// hold compares what was recorded with what was published and with what was away, and returns how many messages are missing.
// Whole: nothing need be missing, so there may be no gap, or a shorter one.
func (r *records) hold(published map[uint64]time.Time, away *outage, whole bool) (missing int, err error) {
	if len(published) == 0 {
		return 0, errors.New("NATS has confirmed nothing: this says nothing")
	}
	last := slices.Max(slices.Collect(maps.Keys(published)))
	stored := map[uint64]bool{}
	for i, number := range r.numbers {
		if i > 0 && number <= r.numbers[i-1] {
			return 0, fmt.Errorf("message %d is stored after %d", number, r.numbers[i-1])
		}
		stored[number] = true
	}
	if !stored[last] {
		return 0, fmt.Errorf("the last message, %d, is not stored", last)
	}
	for number, at := range published {
		if stored[number] {
			continue
		}
		missing++
		if !r.gaps.cover(at) {
			err = errors.Join(err, fmt.Errorf("message %d, published at %s, is missing and no gap says so", number, at.Format(clock)))
		}
	}
	return missing, errors.Join(err, r.gaps.about(away, whole))
}

// about complains of gaps that are not about as long as an outage. Whole: they may be shorter.
func (g gaps) about(away *outage, whole bool) error {
	if len(g) == 0 {
		if whole {
			return nil
		}
		return errors.New("there is no gap")
	}
	from, to := g.window()
	if !whole && (from.After(away.gone) || to.Before(away.end)) {
		return fmt.Errorf("the gaps %v are shorter than the outage, %s … %s", g, away.gone.Format(clock), away.end.Format(clock))
	}
	if away.begin.Sub(from) > nearby || to.Sub(away.back) > nearby {
		return fmt.Errorf("the gaps %v are longer than the outage, %s … %s", g, away.begin.Format(clock), away.back.Format(clock))
	}
	return nil
}

// awaitStored returns when a message is stored that the publisher has published after a time.
func (b *broker) awaitStored(ctx context.Context, s *client.Stream, p *steady, after time.Time) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	if err := p.awaitStored(ctx, s, after); err != nil {
		b.t.Fatalf("no message that was published after %s is stored: %v; the server's log ends:\n%s", after.Format(clock), err, b.server.Log())
	}
}

func (p *steady) awaitStored(ctx context.Context, s *client.Stream, after time.Time) error {
	select {
	case <-time.After(time.Until(after)):
	case <-ctx.Done():
		return ctx.Err()
	}
	number := p.next.Load()
	sub, err := s.Subscribe(ctx, client.FromEarliest())
	if err != nil {
		return err
	}
	defer sub.Stop()
	for {
		m, err := sub.Next(ctx)
		if err != nil || binary.BigEndian.Uint64(m.Value) >= number {
			return err
		}
	}
}
