package election_test

import (
	"strings"
	"testing"
)

// The history that broke the rule as it was first written: b1 loses a committed batch to rot, fetches it again, is killed
// before it fsyncs, and registers what it found, which only the page cache holds. It is elected, and counts as a whole copy
// from then on; so b2's may be lost; and b1 loses the batch once more to a power cut.
const unsyncedTail = `
b1 crashes
b1 starts, finds 0 batches and registers
b2 begins to lead
b1 follows the leader
b1 fetches one batch
b1 crashes
b2 crashes
b1 starts, finds 1 batches and registers
b1 crashes
b2 starts, finds 1 batches and registers
b2 crashes
b2 starts, finds 0 batches and registers
b1 starts, finds 0 batches and registers
b1 begins to lead`

// S1, S3: a replica has fsynced what it registers.
func TestHistoryOfAnUnsyncedTail(t *testing.T) {
	b := bounds{brokers: 2, minISR: 2, durable: true, maxEpoch: 4, budget: budget{crashes: 5, faults: 2}}
	steps := strings.Split(strings.TrimSpace(unsyncedTail), "\n")

	b.promises = true
	m := newModel(b, theRule(), faults{restartUnsynced: true})
	if at := m.play(t, steps); at != len(steps) || !strings.HasPrefix(m.broken, "S1") {
		t.Errorf("without the fsync: step %d, broken %q; want S1 at step %d", at, m.broken, len(steps))
	}
	m = newModel(b, theRule(), faults{})
	if at := m.play(t, steps); at != len(steps)-1 || m.broken != "" {
		t.Errorf("with the fsync: step %d, broken %q; want b1 unable to lose the batch, step %d", at, m.broken, len(steps)-1)
	}
}

// play does the steps and returns how many of them were tried: the last one may be impossible or break an invariant.
func (m *model) play(t *testing.T, steps []string) int {
	t.Helper()
	byName := map[string]action{}
	for _, a := range m.actions() {
		byName[a.String()] = a
	}
	s := m.initial()
	for i, name := range steps {
		a, ok := byName[name]
		if !ok {
			t.Fatalf("no step is called %q", name)
		}
		if !m.may(&s, a) || !m.step(&s, a) || m.broken != "" {
			return i + 1
		}
	}
	return len(steps)
}
