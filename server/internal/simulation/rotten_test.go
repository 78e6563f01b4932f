package simulation_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// TestCommittedAlthoughRotten checks that the oracle takes for committed what a leader has committed, though it finds that
// leader's copy rotten when it looks: whoever reads it from another copy, or from this one before the rot, reads what is
// committed (S12). Seed 2481 was a violation for want of that.
func TestCommittedAlthoughRotten(t *testing.T) {
	values := []string{"first", "second", "third", "last"}
	for seed, rotten := range values {
		w := newWorld(uint64(seed), false)
		w.plan.segmentBytes = 8 << 10 // all in one file
		err := caught(func() {
			w.begin()
			r := w.anyLeader()
			r.pumping = true // nothing is committed but below
			for _, value := range values {
				r.takePublish(&publish{w: w, ledger: w.oracle.ledgers[r.id], value: value})
			}
			r.rotAt(rotten)
			w.oracle.enter(r, w.oracle.ledgers[r.id], r.log.End())
			if r.bad == nil {
				t.Errorf("%s is rotten, and reading it found nothing", rotten)
			}
			checkEntered(t, w.oracle.ledgers[r.id], r, values)
		})
		if err != nil {
			t.Errorf("%s is rotten: %v", rotten, err)
		}
	}
}

// anyLeader waits for the first partition to be led.
func (w *world) anyLeader() *replica {
	l := w.oracle.ledgers[w.oracle.ids()[0]]
	for range 100 {
		if leader := w.oracle.leaderOf(l); leader != nil && leader.leader.Enough() {
			return leader
		}
		w.runFor(100 * time.Millisecond)
	}
	w.violate("liveness", "nobody leads")
	return nil
}

// rotAt flips a bit where a value lies in the log.
func (r *replica) rotAt(value string) {
	entries, err := r.b.disk.ReadDir(r.dir())
	r.w.must(err, "listing the log of %s", r.b.name)
	for _, e := range entries {
		name := r.dir() + "/" + e.Name()
		if strings.HasSuffix(name, ".idx") {
			continue
		}
		file, err := r.b.disk.Open(name)
		r.w.must(err, "opening %s", name)
		size, err := file.Size()
		r.w.must(err, "measuring %s", name)
		all, err := io.ReadAll(io.NewSectionReader(file, 0, size))
		r.w.must(err, "reading %s", name)
		r.w.must(file.Close(), "closing %s", name)
		if at := bytes.Index(all, []byte(value)); at >= 0 {
			r.b.damaged[r.id] = true
			r.w.must(r.b.disk.FlipBit(name, int64(at), 1), "flipping a bit")
			return
		}
	}
	r.w.violate("unexpected", "%q is not in the log of %s", value, r.b.name)
}

// checkEntered checks that the ledger has all that was appended, by name, and these values.
func checkEntered(t *testing.T, l *ledger, r *replica, values []string) {
	t.Helper()
	if l.committed != r.log.End() {
		t.Errorf("the ledger ends at %v, the log at %v", l.committed, r.log.End())
	}
	for seq := uint64(1); seq < r.log.End().Seq; seq++ {
		if name := l.names[seq]; name.Seq != seq || name.Epoch == 0 || name.CRC == 0 {
			t.Errorf("the ledger has %+v for seq %d", name, seq)
		}
	}
	entered := map[string]bool{}
	for _, record := range l.records {
		entered[record.value] = true
	}
	for _, value := range values {
		if !entered[value] {
			t.Errorf("%q is not in the ledger", value)
		}
	}
	if last := l.names[r.log.End().Seq-1]; last != r.log.Last() {
		t.Errorf("the ledger ends with %+v, the log with %+v", last, r.log.Last())
	}
}
