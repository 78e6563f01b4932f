package election_test

import (
	"slices"
	"testing"

	"github.com/trestlehq/trestle/metadata/election"
)

// mutant is a fault of the rule, or of the code around it, that the model has to find.
type mutant struct {
	name   string
	rule   func(r *rule)
	faults faults
	bounds bounds
	// harmless: the search must not find it, for a reason that DESIGN.md gives.
	harmless bool
}

var (
	two = bounds{
		brokers: 2, minISR: 2, durable: true, maxEpoch: 3,
		budget: budget{records: 1, crashes: 3, stops: 1, faults: 1, fences: 1, changes: 2},
	}
	three = bounds{
		brokers: 3, minISR: 2, durable: true, maxEpoch: 3,
		budget: budget{records: 1, crashes: 2, faults: 1, fences: 1, changes: 2},
	}
)

// electionMutants elect whom the rule does not.
func electionMutants() []mutant {
	return []mutant{
		{name: "unsure replica elected alone", bounds: two, rule: func(r *rule) {
			r.elect = electWith(func(m election.Membership) election.Membership { m.Unsure = nil; return m })
		}},
		{name: "shortest tail instead of greatest", bounds: two, rule: func(r *rule) {
			r.elect = electWith(func(m election.Membership) election.Membership {
				return withTails(m, func(t election.Tail) election.Tail { return election.Tail{Epoch: ^t.Epoch, Seq: ^t.Seq} })
			})
		}},
		{name: "tails compared by seq, without epoch", harmless: true, bounds: bounds{
			brokers: 2, minISR: 2, durable: true, maxEpoch: 4, budget: budget{records: 1, crashes: 3, faults: 1},
		}, rule: func(r *rule) {
			r.elect = electWith(func(m election.Membership) election.Membership {
				return withTails(m, func(t election.Tail) election.Tail { return election.Tail{Seq: t.Seq} })
			})
		}},
		{name: "lost copies do not count", bounds: two, rule: func(r *rule) {
			// The lost stay in the ELR, as replicas that never come.
			r.elect = func(m election.Membership, live func(string) bool) (election.Decision, election.Membership) {
				lost, with := m.Lost, m
				with.ELR, with.Lost = slices.Concat(m.ELR, m.Lost), nil
				for _, b := range lost {
					with.Unsure = append(slices.Clone(with.Unsure), election.Doubt{Broker: b})
				}
				d, _ := with.Elect(func(b string) bool { return live(b) && !slices.Contains(lost, b) })
				if d.Leader == "" {
					return d, m
				}
				_, after := m.Elect(func(b string) bool { return b == d.Leader })
				return d, after
			}
		}},
		{name: "greatest tail of whoever has registered", bounds: two, rule: func(r *rule) {
			r.elect = electWith(func(m election.Membership) election.Membership { m.Quorum = 1; return m })
		}},
	}
}

// memberMutants keep members, or doubts about them, as the rule does not.
func memberMutants() []mutant {
	return []mutant{
		{name: "ELR not cleared when the ISR is whole", bounds: three, rule: func(r *rule) {
			r.inSync = func(m election.Membership, isr []string) election.Membership { return keepELR(m, m.InSync(isr)) }
		}},
		{name: "unsure made sure by a clean restart", bounds: two, rule: func(r *rule) {
			r.rejoined = func(m election.Membership, b string) election.Membership {
				m = m.Left(b)
				m.Unsure = slices.DeleteFunc(m.Unsure, func(d election.Doubt) bool { return d.Broker == b })
				return m
			}
		}},
		{name: "ISR kept across a registration", bounds: two, rule: func(r *rule) {
			r.rejoined = func(m election.Membership, _ string) election.Membership { return m }
			r.restarted = func(m election.Membership, b string, tail election.Tail) election.Membership {
				if slices.Contains(m.ISR, b) {
					return m
				}
				return m.Restarted(b, tail)
			}
		}},
		{name: "quorum follows min ISR down", rule: func(r *rule) {
			r.withMinISR = func(m election.Membership, n int) election.Membership {
				m = m.WithMinISR(n)
				m.Quorum = n
				return m
			}
		}, bounds: bounds{
			brokers: 2, minISR: 2, durable: true, maxEpoch: 3, budget: budget{records: 1, crashes: 2, faults: 1, fences: 1, settings: 1},
		}},
		{name: "not durable, and kept in the ELR across an unclean restart", rule: func(r *rule) {
			r.restarted = func(m election.Membership, b string, _ election.Tail) election.Membership { return m.Left(b) }
		}, bounds: bounds{
			brokers: 2, minISR: 2, maxEpoch: 3, budget: budget{records: 1, crashes: 2, faults: 1, fences: 1},
		}},
	}
}

func codeMutants() []mutant {
	return []mutant{
		{name: "commit without the proposed ISR", faults: faults{commitIgnoresProposal: true}, bounds: three},
		{name: "commit with fewer than min ISR in the ISR", faults: faults{commitIgnoresMinISR: true}, bounds: three},
		{name: "commit of what is not fsynced", faults: faults{commitUnsynced: true}, bounds: two},
		{name: "a follower joins below the start of the epoch", faults: faults{joinBelowStart: true}, bounds: three},
		{name: "the answer stale taken for no", faults: faults{staleIsRefused: true}, bounds: three},
		{name: "progress of an incarnation not learned counts", faults: faults{oldIncarnationCounts: true}, bounds: three},
		{name: "ISR change accepted for an older incarnation", faults: faults{anyIncarnationJoins: true}, bounds: three},
		{name: "a restarted replica does not fsync what it found", faults: faults{restartUnsynced: true}, bounds: bounds{
			brokers: 2, minISR: 2, durable: true, maxEpoch: 4, budget: budget{crashes: 5, faults: 2},
		}},
	}
}

// electWith elects as if the membership were another one, and leaves the doubts about the others as they are.
func electWith(
	change func(election.Membership) election.Membership,
) func(election.Membership, func(string) bool) (election.Decision, election.Membership) {
	return func(m election.Membership, live func(string) bool) (election.Decision, election.Membership) {
		d, after := change(m).Elect(live)
		if d.Leader == "" {
			return d, m
		}
		after.Quorum = m.Quorum
		after.Unsure = nil
		for _, u := range m.Unsure {
			if slices.Contains(after.ELR, u.Broker) || slices.Contains(after.LastKnown, u.Broker) {
				after.Unsure = append(after.Unsure, u)
			}
		}
		return d, after
	}
}

func withTails(m election.Membership, change func(election.Tail) election.Tail) election.Membership {
	m.Unsure = slices.Clone(m.Unsure)
	for i := range m.Unsure {
		m.Unsure[i].Tail = change(m.Unsure[i].Tail)
	}
	return m
}

// keepELR puts back what the rule dropped from the ELR.
func keepELR(before, after election.Membership) election.Membership {
	for _, b := range before.Replicas {
		was := slices.Contains(before.ISR, b) || slices.Contains(before.ELR, b)
		if was && !slices.Contains(after.ISR, b) && !slices.Contains(after.ELR, b) {
			after.ELR = append(slices.Clone(after.ELR), b)
		}
	}
	return after
}

// The model has to notice what the rule is there for: each fault breaks an invariant within the bounds.
func TestModelFindsMutants(t *testing.T) {
	if !findsMutants {
		t.Skip("needs whole searches; run it without the race detector")
	}
	for _, mu := range slices.Concat(electionMutants(), memberMutants(), codeMutants()) {
		t.Run(mu.name, func(t *testing.T) {
			r := theRule()
			if mu.rule != nil {
				mu.rule(&r)
			}
			mu.bounds.promises = true
			m := newModel(mu.bounds, r, mu.faults)
			got := m.search(10_000_000)
			if mu.harmless != (got.broken == "") || mu.harmless && !got.whole {
				t.Fatalf("found: %t, want: %t; %v\n%s", got.broken != "", !mu.harmless, got, got.history)
			}
			t.Logf("%v\n%s", got, got.history)
		})
	}
}
