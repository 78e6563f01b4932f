package election_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/metadata/election"
)

// show writes a membership as one line: ISR | ELR | last known | lost | unsure.
func show(m election.Membership) string {
	var unsure []string
	for _, d := range m.Unsure {
		unsure = append(unsure, fmt.Sprintf("%s@%d.%d", d.Broker, d.Tail.Epoch, d.Tail.Seq))
	}
	parts := [][]string{m.ISR, m.ELR, m.LastKnown, m.Lost, unsure}
	text := make([]string, len(parts))
	for i, p := range parts {
		text[i] = strings.Join(p, " ")
	}
	return strings.Join(text, "|")
}

func durable(minISR int, replicas ...string) election.Membership {
	return election.New(replicas, minISR, true)
}

func tail(epoch, seq uint64) election.Tail { return election.Tail{Epoch: epoch, Seq: seq} }

func TestMembershipTransitions(t *testing.T) {
	cached := func(m election.Membership) election.Membership { m.Durable = false; return m }
	three := durable(2, "a", "b", "c")
	short := three.Left("c").Left("b") // ISR a, ELR b
	for _, c := range []struct {
		rule string
		got  election.Membership
		want string
	}{
		{"C3: a whole ISR needs no ELR", three.Left("c"), "a b||||"},
		{"C3: a short one does", short, "a|b|||"},
		{"C3: the ISR may become empty", short.Left("a"), "|a b|||"},
		{"C3: who was in neither changes nothing", short.Left("c"), "a|b|||"},
		{"C5: unclean and durable stays, unsure", short.Restarted("a", tail(5, 9)), "|a b|||a@5.9"},
		{"C5: the newest tail counts", short.Restarted("b", tail(5, 9)).Restarted("b", tail(5, 7)), "a|b|||b@5.7"},
		{"C5: from a whole ISR it is out", three.Restarted("a", tail(5, 9)), "b c||||"},
		{"C5: a clean stop makes nobody sure", short.Restarted("b", tail(5, 9)).Left("b"), "a|b|||b@5.9"},
		{"C5: who was in neither stays out", short.Restarted("c", tail(9, 9)), "a|b|||"},
		{"3.7: not durable: last known only", cached(short).Restarted("b", tail(5, 9)), "a||b||b@5.9"},
		{"3.7: and from the ISR", cached(short).Restarted("a", tail(5, 9)), "|b|a||a@5.9"},
		{"3.7: it may restart again", cached(short).Restarted("b", tail(5, 9)).Restarted("b", tail(6, 1)), "a||b||b@6.1"},
		{"1.3: a lost copy is remembered", short.LostCopy("b"), "a|||b|"},
		{"1.3: of an unsure one too", short.Restarted("b", tail(5, 9)).LostCopy("b"), "a|||b|"},
		{"1.3: but not with a whole ISR", three.LostCopy("b"), "a c||||"},
		{"1.3: nor of one that held nothing", short.LostCopy("c"), "a|b|||"},
		{"3.7: of a last known one too", cached(short).Restarted("b", tail(5, 9)).LostCopy("b"), "a|||b|"},
		{"C2: growing to min ISR clears", short.LostCopy("b").InSync([]string{"c", "a"}), "a c||||"},
		{"C2: shrinking below it keeps", three.InSync([]string{"b"}), "b|a c|||"},
		{"C2: who joins is sure", durable(3, "a", "b", "c", "d").Left("b").Left("c").Left("d").
			Restarted("c", tail(5, 1)).InSync([]string{"a", "c"}), "a c|d|||"},
		{"C2: and no longer lost", durable(3, "a", "b", "c").LostCopy("b").InSync([]string{"a", "b"}), "a b|c|||"},
	} {
		if got := show(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestWithMinISR(t *testing.T) {
	three := durable(3, "a", "b", "c").Left("b").Left("c") // ISR a, ELR b c
	for _, c := range []struct {
		name   string
		got    election.Membership
		want   string
		quorum int
	}{
		{"lowered to what the ISR has: the ISR alone counts", three.WithMinISR(1), "a||||", 1},
		{"lowered, still short: nothing changes", three.WithMinISR(2), "a|b c|||", 3},
		{"lowered without ISR: the old budget holds", three.Left("a").WithMinISR(1), "|a b c|||", 3},
		{"raised above the ISR: the old quorum holds until it is met", durable(2, "a", "b", "c").Left("c").WithMinISR(3), "a b||||", 2},
		{"raised, then met", durable(2, "a", "b", "c").Left("c").WithMinISR(3).InSync([]string{"a", "b", "c"}), "a b c||||", 3},
		{"lowered and raised again", three.WithMinISR(1).WithMinISR(2), "a||||", 1},
	} {
		if got := show(c.got); got != c.want || c.got.Quorum != c.quorum {
			t.Errorf("%s: %s, quorum %d, want %s, %d", c.name, got, c.got.Quorum, c.want, c.quorum)
		}
	}
}

// protocol.md 1.17: a partition without another copy stays led.
func TestDamagedKeepsTheOnlyCopy(t *testing.T) {
	m, kept := durable(1, "a").Damaged("a")
	if !kept || show(m) != "a||||" {
		t.Errorf("the only replica: kept %t, %s", kept, show(m))
	}
	m, kept = durable(1, "a").Restarted("a", tail(5, 1)).Damaged("a")
	if d, _ := m.Elect(among("a")); !kept || d.Leader != "a" {
		t.Errorf("the only replica after an unclean stop: kept %t, leader %q", kept, d.Leader)
	}
	m, kept = durable(2, "a", "b").Damaged("a")
	if kept || show(m) != "b|||a|" {
		t.Errorf("with another copy: kept %t, %s", kept, show(m))
	}
	m, kept = m.Damaged("b")
	if !kept || show(m) != "b|||a|" {
		t.Errorf("the last of two: kept %t, %s", kept, show(m))
	}
	if m = durable(1, "a").LostCopy("a"); show(m) != "|||a|" {
		t.Errorf("a lost disk keeps nothing: %s", show(m))
	}
}

// A membership is a value: no method changes its receiver or shares a list with its result.
func TestMethodsShareNothing(t *testing.T) {
	methods := map[string]func(election.Membership) election.Membership{
		"Left":       func(m election.Membership) election.Membership { return m.Left("a") },
		"Restarted":  func(m election.Membership) election.Membership { return m.Restarted("a", tail(9, 9)) },
		"LostCopy":   func(m election.Membership) election.Membership { return m.LostCopy("a") },
		"InSync":     func(m election.Membership) election.Membership { return m.InSync([]string{"a"}) },
		"WithMinISR": func(m election.Membership) election.Membership { return m.WithMinISR(4) },
		"Damaged":    func(m election.Membership) election.Membership { m, _ = m.Damaged("a"); return m },
		"Elect":      func(m election.Membership) election.Membership { _, m = m.Elect(among("a", "b", "c")); return m },
		"ElectUnclean": func(m election.Membership) election.Membership {
			_, m = m.ElectUnclean("a")
			return m
		},
	}
	for name, method := range methods {
		m := durable(3, "a", "b", "c", "d").Left("b").Left("c").LostCopy("d").Restarted("c", tail(5, 1))
		before := show(m)
		after := method(m)
		want := show(after)
		if got := show(m); got != before {
			t.Errorf("%s changes its receiver: %s became %s", name, before, got)
		}
		for _, list := range [][]string{m.Replicas, m.ISR, m.ELR, m.Lost} {
			for i := range list {
				list[i] = "x"
			}
		}
		m.Unsure[0].Tail.Seq = 77
		if got := show(after); got != want || slices.Contains(after.Replicas, "x") {
			t.Errorf("%s shares memory with its receiver: %s became %s", name, want, got)
		}
	}
}

func TestEqual(t *testing.T) {
	m := durable(2, "a", "b", "c").Left("c").Left("b")
	same := m
	same.Quorum = 0 // the same as MinISR
	if !m.Equal(m.Left("c")) || !m.Equal(same) {
		t.Error("a membership differs from itself")
	}
	for name, other := range map[string]election.Membership{
		"ELR": m.LostCopy("b"), "unsure": m.Restarted("b", tail(1, 1)), "min ISR": m.WithMinISR(3), "ISR": m.Left("a"),
		"tail": m.Restarted("b", tail(1, 2)),
	} {
		if m.Restarted("b", tail(1, 1)).Equal(other) != (name == "unsure") {
			t.Errorf("Equal does not look at %s", name)
		}
	}
}
