package host_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// A partition that is led anew while its NATS goes on has missed what was published meanwhile, and says so (S13): here the
// cluster took the broker for dead.
func TestLedAnewHasAGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	before := w.create(orders()).GetPartitions()[0].GetLeaderEpoch()
	w.publish("orders", 0, "a")
	from := time.Now().UnixNano()
	b, _ := w.control.State().Broker("b")
	_, err := w.control.Propose(t.Context(), &clusterv1.Command{Command: &clusterv1.Command_FenceBrokers{
		FenceBrokers: &clusterv1.FenceBrokers{Brokers: []*clusterv1.BrokerAt{{Name: b.Name, Epoch: b.Epoch}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.until("led anew", func() bool {
		p, err := w.PartitionOf("orders", 0)
		return err == nil && p.State().Epoch > before
	})
	s, err := w.Describe("orders")
	if err != nil {
		t.Fatal(err)
	}
	p := s.GetPartitions()[0]
	if gap := p.GetLastGap(); gap.GetCause() != trestlev1.GapCause_GAP_CAUSE_RESTART || gap.GetFromTime() > from || gap.GetToTime() < from {
		t.Errorf("partition %v", p)
	}
	w.stop()
}

// What runs is told that messages were missed before the start was over.
func TestMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	w.create(orders())
	since := time.Now()
	if err := w.Missed(since); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start()
	p, err := w.PartitionOf("orders", 0)
	if err != nil {
		t.Fatal(err)
	}
	if state := p.State(); state.Gaps != 0 {
		t.Errorf("the start after a clean stop has %d gaps of its own", state.Gaps)
	}
	if gaps := w.gaps("orders", 0); len(gaps) != 1 || gaps[0].Cause != batch.GapRestart || gaps[0].FromTime != since.UnixNano() {
		t.Errorf("gaps %+v", gaps)
	}
	w.stop()
}

// gaps reads all gaps of a partition.
func (w *world) gaps(stream string, number int32) (gaps []batch.Gap) {
	w.t.Helper()
	p, err := w.PartitionOf(stream, number)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := p.Read(partition.ReadOptions{Start: partition.Place{Kind: partition.AtEarliest}})
	if err != nil {
		w.t.Fatal(err)
	}
	for {
		chunk, err := r.Next(w.t.Context())
		if errors.Is(err, io.EOF) {
			return gaps
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for b := chunk.Batches; len(b) > 0; {
			h, err := batch.Parse(b)
			if err != nil {
				w.t.Fatal(err)
			}
			if c, err := batch.ParseControl(h.BodyOf(b)); h.Control() && err == nil && c.Kind == batch.ControlGap {
				gaps = append(gaps, c.Gap)
			}
			b = b[h.Size:]
		}
	}
}
