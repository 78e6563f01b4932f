package loadtest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// silence is after how long without any further message the rest counts as lost.
const silence = 3 * time.Second

// tally counts what a receiver gets, until there are as many messages as are wanted or nothing more comes.
type tally struct {
	want     int64
	measures bool          // latency
	full     chan struct{} // closed when all have come

	heard atomic.Int64
	ended atomic.Int64 // when the last came, in nanoseconds since 1970; 0: not known

	mu      sync.Mutex
	latency *Histogram // guarded by mu
}

func newTally(job *Job) *tally {
	return &tally{want: job.Messages, measures: job.Rate > 0, full: make(chan struct{}), latency: NewHistogram()}
}

// hear counts a message.
func (t *tally) hear(payload []byte) {
	if t.measures {
		if d, ok := age(payload); ok {
			t.mu.Lock()
			t.latency.Record(d)
			t.mu.Unlock()
		}
	}
	if t.heard.Add(1) == t.want {
		t.ended.Store(time.Now().UnixNano())
		close(t.full)
	}
}

// await returns when all have come, ctx ends, or for a while nothing comes.
func (t *tally) await(ctx context.Context) {
	ticker := time.NewTicker(silence / 30)
	defer ticker.Stop()
	heard, last := t.heard.Load(), time.Now()
	for {
		select {
		case <-t.full:
			return
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if n := t.heard.Load(); n != heard {
				heard, last = n, now
			} else if now.Sub(last) > silence {
				t.ended.CompareAndSwap(0, last.UnixNano())
				return
			}
		}
	}
}

// outcome is what has come so far.
func (t *tally) outcome() Outcome {
	o := Outcome{Messages: t.heard.Load()}
	if t.measures {
		o.Latency = NewHistogram()
		t.mu.Lock()
		o.Latency.Add(t.latency)
		t.mu.Unlock()
	}
	if ended := t.ended.Load(); ended != 0 {
		o.Ended = time.Unix(0, ended)
	} else {
		o.Ended = time.Now()
	}
	return o
}
