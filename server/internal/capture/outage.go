package capture

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/proto/batch"
)

// How the connection is watched.
const (
	watchEvery = 500 * time.Millisecond
	// signTimeout is how long NATS may take to answer.
	signTimeout = 2 * time.Second
	// signsMissed is after how many questions, with nothing read meanwhile, a connection is given up.
	signsMissed = 3
)

// outage is the time in which this broker may not have heard what was published.
type outage struct {
	mu    sync.Mutex
	open  bool
	from  int64  // until when everything was heard, unix nanoseconds
	held  bool   // messages may have been lost that NATS kept for us while we did not read
	times uint64 // how often a connection ended
}

// begin opens the outage, or lets it go on.
func (o *outage) begin(until int64, held bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.times++
	if !o.open {
		o.open, o.from, o.held = true, until, held
		return
	}
	o.from, o.held = min(o.from, until), o.held || held
}

// gap is the outage up to now, if there is one.
func (o *outage) gap(now int64) (gap batch.Gap, times uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	gap = batch.Gap{Cause: batch.GapNATSDisconnected, FromTime: o.from, ToTime: max(now, o.from)}
	if o.held {
		gap.Cause = batch.GapNATSDropped
	}
	return gap, o.times, o.open
}

// end closes the outage, if no connection has ended since it was asked for.
func (o *outage) end(times uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.times != times {
		return false
	}
	o.open = false
	return true
}

// watch keeps an eye on the connection until ctx ends: it closes outages, and asks NATS whether we have heard all.
func (s *Source) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	retry := time.NewTicker(retryRefused)
	defer retry.Stop()
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.audience.forget(now)
		case <-s.back:
		case <-retry.C:
			s.retry(ctx)
			continue
		}
		if _, _, open := s.outage.gap(0); open {
			s.closeOutage(ctx)
			missed = 0
			continue
		}
		missed = s.ask(ctx, missed)
	}
}

// closeOutage writes the gap once NATS has confirmed that everything is subscribed to again.
func (s *Source) closeOutage(ctx context.Context) {
	_, times, _ := s.outage.gap(0)
	if !s.conn.IsConnected() || s.confirm(ctx, signTimeout) != nil {
		return // tried again
	}
	if id, err := s.conn.GetClientID(); err == nil {
		s.client.Store(id) // it takes nats.go's lock, for which others do not wait while a connection is made
	}
	gap, _, open := s.outage.gap(time.Now().UnixNano())
	if !open || !s.outage.end(times) {
		return
	}
	s.config.Logger.Info("nats is heard again", "missed_from", time.Unix(0, gap.FromTime), "missed_to", time.Unix(0, gap.ToTime))
	if mutant("capture-outage-untold") {
		return
	}
	for _, r := range s.allRoutes() {
		r.gaps(gap)
	}
}

// ask has NATS confirm that we have heard all, so that it is known since when we may not have when the connection ends. It
// gives up a connection on which nothing comes and nobody answers: TCP alone finds a NATS that is gone much later. A NATS
// that is not read because too much waits is left alone.
func (s *Source) ask(ctx context.Context, missed int) int {
	g := s.dispatcher.gate
	if g.waiting.Load() || !s.conn.IsConnected() {
		return 0
	}
	asked := g.read.Load()
	err := s.confirm(ctx, signTimeout)
	if err == nil || ctx.Err() != nil || g.read.Load() != asked || g.waiting.Load() || !s.config.DropsReaders {
		return 0
	}
	if missed++; missed < signsMissed {
		return missed
	}
	s.config.Logger.Warn("nats does not answer; the connection is made anew")
	if err := s.conn.ForceReconnect(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		s.config.Logger.Error("the nats connection was not made anew", "error", err)
	}
	return 0
}

// confirm waits until NATS has seen all that was sent to it, and we all that it sent before.
func (s *Source) confirm(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	asked := s.dispatcher.gate.now().UnixNano()
	if err := s.conn.FlushWithContext(ctx); err != nil {
		return err
	}
	s.dispatcher.gate.heardAll(asked)
	return nil
}
