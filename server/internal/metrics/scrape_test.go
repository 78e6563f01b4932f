package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/host"
)

type measures host.Measures

func (m measures) Measure() host.Measures { return host.Measures(m) }

func (m measures) FanoutCounts() fanout.Counts { return fanout.Counts{} }

type counters capture.Counters

func (c counters) Counters() capture.Counters { return capture.Counters(c) }

// Streams beyond the limit are one series together, and none of their numbers is missing.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	var h measures
	for i := range MaxStreams + 3 {
		h.Streams = append(h.Streams, host.StreamMeasures{
			Stream: fmt.Sprintf("s%04d", i), Partitions: 1, Messages: 10, DedupWindow: time.Duration(i) * time.Second, DedupWanted: time.Hour,
		})
	}
	m := New("v", "id", "c")
	err := m.Watch(Sources{
		Host: h, Capture: counters{Captured: 7}, Leading: func() bool { return true }, Applied: func() uint64 { return 5 }, Unready: func() error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"trestle_stream_messages": MaxStreams + 1, "trestle_streams": 1, "trestle_gaps_total": 9} {
		if got, err := testutil.GatherAndCount(m.registry, name); err != nil || got != want {
			t.Errorf("%s: got %d series and %v, want %d", name, got, err, want)
		}
	}
	rest := bounded(h.Streams)[MaxStreams]
	if rest.Stream != "" || rest.Messages != 30 || rest.Partitions != 3 || rest.DedupWindow != MaxStreams*time.Second {
		t.Errorf("the rest is %+v", rest)
	}
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}
