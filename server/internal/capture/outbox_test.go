package capture

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// What waits to be sent is bounded, in number and in bytes, and whoever puts does not wait (interfaces.md 3.10).
func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	var dropped, sent atomic.Uint64
	o := newOutbox(nil, &dropped)
	for range maxAnswers + 10 {
		o.put(answer{subject: "a", sent: &sent})
	}
	if n := dropped.Load(); n != 10 || o.waiting() != maxAnswers {
		t.Errorf("%d dropped, %d wait", n, o.waiting())
	}
	dropped.Store(0)
	o = newOutbox(nil, &dropped)
	for range 20 {
		o.put(answer{body: make([]byte, 1<<20), sent: &sent})
	}
	if n := dropped.Load(); n != 4 {
		t.Errorf("%d of 20 MiB dropped", n)
	}
}

// said keeps what is sent, unless it fails.
type said struct {
	commands []string
	err      error
}

func (s *said) Send(commands []byte) error {
	if s.err == nil && len(commands) > 0 {
		s.commands = append(s.commands, string(commands))
	}
	return s.err
}

func (s *said) MaxPayload() int { return 40 << 10 }

// Answers that wait together go out together, in order. What NATS does not take, and what does not go out, is dropped and counted.
func TestOutboxSends(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 40<<10)
	for _, failure := range []error{nil, errAway} {
		var dropped, acked, nacked atomic.Uint64
		to := &said{err: failure}
		o := newOutbox(to, &dropped)
		for _, body := range []string{"1", "", large, large + "x", large, "2"} {
			o.put(answer{subject: "a.b", body: []byte(body), sent: &acked})
		}
		o.put(answer{subject: "c", body: []byte("3"), sent: &nacked})
		go o.run()
		o.close()
		if failure != nil {
			if dropped.Load() != 7 || acked.Load()+nacked.Load() != 0 {
				t.Errorf("%d dropped, %d and %d sent", dropped.Load(), acked.Load(), nacked.Load())
			}
			continue
		}
		want := []string{
			"PUB a.b 1\r\n1\r\nPUB a.b 0\r\n\r\nPUB a.b 40960\r\n" + large + "\r\nPUB a.b 40960\r\n" + large + "\r\n",
			"PUB a.b 1\r\n2\r\nPUB c 1\r\n3\r\n",
		}
		if dropped.Load() != 1 || acked.Load() != 5 || nacked.Load() != 1 || !slices.Equal(to.commands, want) {
			t.Errorf("%d dropped, %d and %d sent, in %d writes", dropped.Load(), acked.Load(), nacked.Load(), len(to.commands))
		}
	}
}

// A stream sends so many answers a second, and as many at once after a rest.
func TestAnswerRate(t *testing.T) {
	t.Parallel()
	var r rate
	now := time.Unix(1000, 0)
	take := func() (n int) {
		for r.take(now) {
			n++
		}
		return n
	}
	if n := take(); n != maxAnswerRate {
		t.Errorf("%d at once", n)
	}
	now = now.Add(10 * time.Millisecond)
	if n := take(); n != maxAnswerRate/100 {
		t.Errorf("%d after 10 ms", n)
	}
	now = now.Add(time.Hour)
	if n := take(); n != maxAnswerRate {
		t.Errorf("%d after an hour", n)
	}
	now = now.Add(-time.Minute)
	if n := take(); n != 0 {
		t.Errorf("%d when the clock went back", n)
	}
}

// counting is a sink that only counts.
type counting struct {
	records, gaps int
	last          partition.Captured
}

func (c *counting) CaptureWith(_ *batch.Record, last partition.Captured) error {
	c.records++
	c.last = last
	return nil
}

func (*counting) Full() bool { return false }

func (c *counting) AppendGap(batch.Gap) error {
	c.gaps++
	return nil
}

// A message on its way from the connection to its partition costs no allocation, shared out or not.
func TestTakingAllocatesNothing(t *testing.T) {
	subject, payload := []byte("orders.eu.42"), make([]byte, 128)
	for _, shared := range []bool{false, true} {
		s := &Source{dispatcher: newDispatcher(dropping, DefaultQueuedBytes), config: Config{}}
		sink, settings := &counting{}, &Live{}
		settings.Set(Settings{Stream: "s", Partitions: 3, PubAck: true, ExpectedOffsets: true, MaxMessageBytes: 1 << 20})
		r := &route{source: s, subject: "orders.>", target: Target{Shared: shared, By: Sharing{Token: 2}}}
		for i := range int32(3) {
			r.join(&taker{sink: sink, settings: settings, partition: i}, 3)
		}
		a := s.dispatcher.arrivals
		var parcels []*parcel
		pass := func() {
			p := a.parcel()
			p.messages = append(p.messages, message{route: r, subject: subject, data: payload})
			a.add(p, nil)
			parcels = a.take(parcels)
			for _, p := range parcels {
				s.dispatcher.hand(p)
			}
		}
		if n := testing.AllocsPerRun(10_000, pass); n > 0 {
			t.Errorf("shared %v: %v allocations per message", shared, n)
		}
		if sink.records != 10_001 || s.dispatcher.pending() != 0 || sink.gaps != 0 {
			t.Errorf("%+v", sink)
		}
	}
}

// While so much waits that a NATS would cut its reader off, nobody waits for a partition; a NATS that slows its publishers
// down is never dropped from.
func TestCrowded(t *testing.T) {
	t.Parallel()
	for _, limits := range []backpressure{slowing, dropping} {
		d := newDispatcher(limits, DefaultQueuedBytes)
		sink := &counting{}
		r := &route{source: &Source{dispatcher: d}}
		r.join(&taker{sink: sink, settings: &Live{}}, 1)
		if r.take(&message{subject: []byte("a")}); d.crowded() || sink.last.NoWait {
			t.Error("crowded from the start")
		}
		for d.pending() < limits.shuts {
			d.arrivals.add(&parcel{messages: []message{{data: make([]byte, 1<<20)}}}, nil)
		}
		if d.crowded() != (limits.drops > 0) {
			t.Errorf("crowded: %v with %d bytes and limits %+v", d.crowded(), d.pending(), limits)
		}
		if r.take(&message{subject: []byte("a")}); sink.last.NoWait != (limits.drops > 0) {
			t.Errorf("the partition is told %+v with limits %+v", sink.last, limits)
		}
	}
}
