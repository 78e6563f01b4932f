package election_test

import (
	"os"
	"testing"
)

// searched is one bounded space of histories.
type searched struct {
	name string
	bounds
}

// smallBounds are searched by every run of the tests, in seconds.
func smallBounds() []searched {
	return []searched{
		{"two brokers, min ISR 2", bounds{brokers: 2, minISR: 2, durable: true, maxEpoch: 3, budget: budget{
			crashes: 3, stops: 1, faults: 2, fences: 1, changes: 1,
		}}},
		{"two brokers, min ISR 1", bounds{brokers: 2, minISR: 1, durable: true, maxEpoch: 3, budget: budget{
			records: 1, crashes: 2, stops: 1, fences: 1, changes: 2, transfers: 1,
		}}},
		{"one broker", bounds{brokers: 1, minISR: 1, durable: true, maxEpoch: 6, budget: budget{
			records: 2, crashes: 4, stops: 1, fences: 1,
		}}},
		{"three brokers, min ISR 2", bounds{brokers: 3, minISR: 2, durable: true, maxEpoch: 2, budget: budget{
			records: 1, crashes: 2, faults: 1, changes: 1,
		}}},
		{"min ISR changes", bounds{brokers: 2, minISR: 2, durable: true, maxEpoch: 3, budget: budget{
			records: 1, crashes: 2, faults: 1, fences: 1, changes: 1, settings: 2,
		}}},
		{"not durable", bounds{brokers: 2, minISR: 2, maxEpoch: 4, budget: budget{
			records: 1, crashes: 3, stops: 1, faults: 2, fences: 1, changes: 1,
		}}},
		{"not durable, three brokers", bounds{brokers: 3, minISR: 2, maxEpoch: 2, budget: budget{
			records: 1, crashes: 2, faults: 1, fences: 1, changes: 1,
		}}},
		{"not durable, beyond the budget", bounds{brokers: 2, minISR: 2, loss: true, maxEpoch: 4, budget: budget{
			records: 1, crashes: 3, stops: 1, fences: 1, changes: 1,
		}}},
	}
}

// fullBounds take minutes.
func fullBounds() []searched {
	return []searched{
		{"two brokers, min ISR 2, wide", bounds{brokers: 2, minISR: 2, durable: true, maxEpoch: 4, budget: budget{
			crashes: 4, stops: 1, faults: 2, fences: 1, changes: 1,
		}}},
		{"three brokers, min ISR 2, wide", bounds{brokers: 3, minISR: 2, durable: true, maxEpoch: 3, budget: budget{
			records: 1, crashes: 2, faults: 1, fences: 1, changes: 1,
		}}},
		{"three brokers, min ISR 2, crashes", bounds{brokers: 3, minISR: 2, durable: true, maxEpoch: 4, budget: budget{
			crashes: 4, faults: 2, changes: 1,
		}}},
		{"three brokers, min ISR 3", bounds{brokers: 3, minISR: 3, durable: true, maxEpoch: 3, budget: budget{
			crashes: 4, faults: 3, changes: 1,
		}}},
		{"three brokers, min ISR 1", bounds{brokers: 3, minISR: 1, durable: true, maxEpoch: 3, budget: budget{
			records: 1, crashes: 2, fences: 1, changes: 1, transfers: 1,
		}}},
		{"three brokers, ISR changes", bounds{brokers: 3, minISR: 2, durable: true, maxEpoch: 2, swaps: true, budget: budget{
			records: 1, crashes: 1, faults: 1, fences: 1, changes: 2,
		}}},
		{"three brokers, reports lag", bounds{brokers: 3, minISR: 2, durable: true, lag: true, maxEpoch: 2, budget: budget{
			records: 1, crashes: 2, faults: 1, changes: 1,
		}}},
		{"three brokers, min ISR changes", bounds{brokers: 3, minISR: 2, durable: true, maxEpoch: 2, budget: budget{
			crashes: 2, faults: 1, fences: 1, changes: 1, settings: 2,
		}}},
		{"not durable, three brokers, wide", bounds{brokers: 3, minISR: 2, maxEpoch: 3, budget: budget{
			records: 1, crashes: 3, faults: 2, fences: 1,
		}}},
		{"not durable, three brokers, beyond the budget", bounds{brokers: 3, minISR: 2, loss: true, maxEpoch: 3, budget: budget{
			records: 1, crashes: 3, fences: 1, changes: 1,
		}}},
		{"four brokers, min ISR 3, from a short ISR", bounds{
			brokers: 4, minISR: 3, durable: true, maxEpoch: 3, begin: shortISR, budget: budget{crashes: 3, faults: 2},
		}},
	}
}

// shortISR: b2 and b3 were fenced, and b4, which had been far behind, has joined. Four brokers hold everything, of which an
// election among unsure ones waits for three.
func shortISR(m *model, s *state) {
	x := newMembership(m.bounds).InSync(list(0b0111)).Left("b2").Left("b3").InSync(list(0b1001))
	s.members = m.intern(x)
	r := &s.r[0]
	r.view = 0b1001
	s.r[1].live, s.r[2].live = false, false
}

// The rule keeps S1 to S6 and S9 of reliability.md 2.2, and a leader is found once every replica that is left has registered,
// in every history within the bounds.
func TestEveryHistory(t *testing.T) {
	all := smallBounds()
	if os.Getenv("TRESTLE_MODEL") == "full" {
		all = append(all, fullBounds()...) // some minutes
	}
	for _, b := range all {
		t.Run(b.name, func(t *testing.T) {
			m := newModel(b.bounds, theRule(), faults{})
			got := m.search(mostStates)
			t.Logf("%v; %d memberships", got, len(m.list))
			if got.broken != "" {
				t.Fatalf("%s\n%s", got.broken, got.history)
			}
		})
	}
}
