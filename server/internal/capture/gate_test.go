package capture

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/proto/batch"
)

// The gate shuts when too much is pending, and opens again when enough of it was captured; it never stays shut.
func TestGate(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small messages": 100, "the largest messages": 8 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limits := slowing.gateLimits
				var pending atomic.Int64
				g := newGate(limits, func() int { return int(pending.Load()) })
				pending.Store(int64(limits.shuts + size))
				passed := make(chan struct{})
				go func() { g.pass(); close(passed) }()
				synctest.Wait()
				for pending.Load() > int64(limits.opens) {
					select {
					case <-passed:
						t.Fatalf("open with %d bytes pending", pending.Load())
					default:
					}
					pending.Add(int64(-size))
					g.done(size)
				}
				for pending.Load() > 0 { // whoever is left to be captured wakes the reader
					pending.Add(int64(-size))
					g.done(size)
				}
				synctest.Wait()
				select {
				case <-passed:
				default:
					t.Error("still shut with nothing pending")
				}
			})
		})
	}
}

func TestGateCloses(t *testing.T) {
	t.Parallel()
	g := newGate(gateLimits{1 << 20, 1 << 19}, func() int { return 1 << 30 })
	var wg sync.WaitGroup
	wg.Go(g.pass)
	g.close()
	wg.Wait()
	g.pass()
}

// A message becomes the same record each time, whatever the order in which a map hands out its headers.
func TestRecordIsDeterministic(t *testing.T) {
	t.Parallel()
	header := nats.Header{}
	for _, name := range []string{"z", "y", "x", "Nats-Msg-Id", "a", "\xff", "m"} {
		header[name] = []string{"1", "", "2"}
	}
	msg := &message{subject: []byte("s"), reply: []byte("r"), data: []byte("v"), header: []byte("NATS/1.0\r\n\r\n")}
	var want []byte
	for i := range 50 {
		var r recorder
		got := batch.AppendRecord(nil, r.of(msg, header, false))
		if i == 0 {
			want = got
		}
		if string(got) != string(want) {
			t.Fatalf("message became %q and %q", got, want)
		}
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	var r recorder
	var b batch.Builder
	msg := &message{subject: []byte("orders.eu.42"), reply: []byte("_INBOX.x"), data: make([]byte, 128)}
	b.Reset(msg.subject)
	for range 20_000 {
		b.Append(r.of(msg, nil, false)) // grows what will be used again
	}
	b.Reset(msg.subject)
	if n := testing.AllocsPerRun(10_000, func() { b.Append(r.of(msg, nil, false)) }); n > 0 {
		t.Errorf("%v allocations per message", n)
	}
}
