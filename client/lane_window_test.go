package client

import (
	"slices"
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
)

// TestLaneTakesTurns: a window that is always full goes in thirds, whatever went before.
func TestLaneTakesTurns(t *testing.T) {
	t.Parallel()
	const messages = 999
	for name, test := range map[string]struct {
		window window
		size   int // of a message
	}{
		"messages":       {window{messages: messages, bytes: 64 << 20}, 100},
		"bytes":          {window{messages: 1 << 16, bytes: messages * 100}, 100},
		"large messages": {window{messages: messages, bytes: 64 << 20}, 1000},
	} {
		for first := 0; first < messages; first += 9 {
			w := newLaneWorld(0)
			w.lane.window, w.lane.crowded = test.window, true
			unsettled := 0
			add := func(count int) {
				for range count {
					w.lane.add(&batch.Record{}, test.size, func() []byte { return nil })
					w.send()
				}
				unsettled += count
			}
			add(1 + first)
			for range 10 {
				add(messages - unsettled)
				b := w.link[0].b
				w.link = w.link[1:]
				unsettled -= b.count
				w.told(b, Ack{}, nil)
				w.send()
			}
			add(messages - unsettled)
			var counts []int
			for _, one := range w.link {
				counts = append(counts, one.b.count)
			}
			if want := []int{messages / 3, messages / 3, messages / 3}; !slices.Equal(counts, want) {
				t.Fatalf("%s: after %d messages, batches of %v messages are on their way, want %v", name, first+1, counts, want)
			}
		}
	}
}

// TestProducerIsCrowded: who waited for room counts for as many batches as can be on their way, also where answers come so
// fast that nobody waits again in between.
func TestProducerIsCrowded(t *testing.T) {
	t.Parallel()
	p := &Producer{lanes: []*lane{{}, {}}}
	settled := func(count int) []*parcel {
		batches := make([]*parcel, count)
		for i := range batches {
			batches[i] = &parcel{}
		}
		return batches
	}
	if p.settle(settled(1)); p.crowded != 0 {
		t.Errorf("nobody has waited, and that counts for %d batches", p.crowded)
	}
	p.room = make(chan struct{})
	if p.settle(nil); p.room == nil {
		t.Error("who waits was woken, and there is no room")
	}
	if p.settle(settled(3)); p.room != nil || p.crowded != 2*maxFlight {
		t.Errorf("somebody has waited, and that counts for %d batches, want %d", p.crowded, 2*maxFlight)
	}
	if p.settle(settled(2*maxFlight - 1)); p.crowded != 1 {
		t.Errorf("it counts for %d batches more, want 1", p.crowded)
	}
	if p.settle(settled(2)); p.crowded != 0 {
		t.Errorf("it counts for %d batches more, want 0", p.crowded)
	}
}
