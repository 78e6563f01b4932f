package election_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/metadata/election"
)

func among(brokers ...string) func(string) bool {
	return func(b string) bool { return slices.Contains(brokers, b) }
}

func TestElect(t *testing.T) {
	three := durable(2, "a", "b", "c")
	pair := three.Left("c").Left("b").Left("a") // ELR a b
	unsure := pair.Restarted("a", tail(5, 9)).Restarted("b", tail(5, 11))
	wide := durable(3, "a", "b", "c", "d").Left("d").Left("b").Left("c").InSync([]string{"a", "d"}).
		Restarted("a", tail(5, 4)).Restarted("b", tail(4, 9)).Restarted("c", tail(5, 6)).Restarted("d", tail(6, 1))
	for _, c := range []struct {
		rule   string
		m      election.Membership
		live   []string
		leader string
		after  string
	}{
		{"3.4: the first of the ISR in replica order", three, []string{"c", "b"}, "b", "a b c||||"},
		{"C4: with an empty ISR the first sure one of the ELR", pair, []string{"b"}, "b", "b|a|||"},
		{"C4: an ISR of which nobody is registered", three.Left("c").Left("b"), []string{"b"}, "b", "b|a|||"},
		{"C4: who is in neither is never elected", three.Left("c"), []string{"c"}, "", "a b||||"},
		{"1.3: a sure one goes before a greater tail", pair.Restarted("a", tail(9, 9)), []string{"a", "b"}, "b", "b|a|||a@9.9"},
		{"1.3: one unsure replica alone is not elected", unsure, []string{"b"}, "", "|a b|||a@5.9 b@5.11"},
		{"1.3: min ISR of them: the greatest tail", unsure, []string{"a", "b"}, "b", "b|a|||a@5.9"},
		{"1.3: while a sure one is away", pair.Restarted("a", tail(5, 9)), []string{"a"}, "", "|a b|||a@5.9"},
		{"1.3: a lost copy counts", unsure.LostCopy("b"), []string{"a"}, "a", "a|||b|"},
		{"1.3: three of four, by epoch before seq", wide, []string{"a", "b", "c"}, "c", "c|a b d|||a@5.4 b@4.9 d@6.1"},
		{"1.3: all four", wide, []string{"a", "b", "c", "d"}, "d", "d|a b c|||a@5.4 b@4.9 c@5.6"},
		{"1.3: two of four with one lost", wide.LostCopy("d"), []string{"a", "c"}, "c", "c|a b||d|a@5.4 b@4.9"},
		{"1.3: ties go by replica order", wide.LostCopy("d").Restarted("a", tail(5, 6)), []string{"c", "a"}, "a", "a|b c||d|b@4.9 c@5.6"},
		{"1.3: enough lost, and the last one is away", wide.LostCopy("b").LostCopy("c").LostCopy("d"), nil, "", "|a||b c d|a@5.4"},
		{"1.3: all lost", unsure.LostCopy("a").LostCopy("b"), []string{"a", "b", "c"}, "", "|||a b|"},
		{
			"1.3: a single replica starts at once",
			durable(1, "a").Restarted("a", tail(5, 9)),
			[]string{"a"},
			"a", "a||||",
		},
		{
			"min ISR raised: all there are is enough",
			durable(1, "a", "b").Left("b").WithMinISR(2).Restarted("a", tail(5, 9)),
			[]string{"a"},
			"a", "a||||",
		},
		{"min ISR lowered: the old budget holds", unsure.WithMinISR(1), []string{"a"}, "", "|a b|||a@5.9 b@5.11"},
	} {
		d, after := c.m.Elect(among(c.live...))
		if d.Leader != c.leader || d.Unclean || show(after) != c.after {
			t.Errorf("%s: leader %q, unclean %t, %s; want %q, %s", c.rule, d.Leader, d.Unclean, show(after), c.leader, c.after)
		}
		if (d.Waiting == "") != (d.Leader != "") {
			t.Errorf("%s: leader %q and waiting %q", c.rule, d.Leader, d.Waiting)
		}
	}
}

// protocol.md 3.7: replicas that do not fsync before they acknowledge.
func TestElectLastKnown(t *testing.T) {
	m := election.New([]string{"a", "b", "c"}, 2, false).Left("c")
	m = m.Restarted("a", tail(5, 9)).Restarted("b", tail(5, 7))
	if d, _ := m.Elect(among("b", "c")); d.Leader != "" || !strings.Contains(d.Waiting, "waiting for a ") {
		t.Errorf("one last known member is away: %+v", d)
	}
	d, after := m.ElectOverdue(among("b", "c"))
	if d.Leader != "b" || !d.Unclean || show(after) != "b||a||a@5.9" {
		t.Errorf("after 10 s: %+v, %s", d, show(after))
	}
	d, after = m.Elect(among("a", "b"))
	if d.Leader != "a" || !d.Unclean || show(after) != "a||b||b@5.7" {
		t.Errorf("all there: %+v, %s", d, show(after))
	}
	whole := election.New([]string{"a", "b"}, 2, false).Left("b").Restarted("a", tail(5, 9))
	if d, _ = whole.ElectOverdue(among("a")); d.Leader != "" {
		t.Errorf("a member of the ELR that may come back is waited for: %+v", d)
	}
	if d, _ = whole.Elect(among("a", "b")); d.Leader != "b" || d.Unclean {
		t.Errorf("a sure member goes first: %+v", d)
	}
}

// C4, 3.7: a partition that fsyncs before it acknowledges waits for ever, unless an operator says otherwise.
func TestDurableIsNeverUncleanByItself(t *testing.T) {
	m := durable(2, "a", "b", "c").Left("c").LostCopy("a").LostCopy("b")
	if d, _ := m.ElectOverdue(among("a", "b", "c")); d.Leader != "" || !strings.Contains(d.Waiting, "operator") {
		t.Errorf("nobody is left: %+v", d)
	}
	d, after := m.ElectUnclean("c")
	if d.Leader != "c" || !d.Unclean || show(after) != "c||||" {
		t.Errorf("an operator: %+v, %s", d, show(after))
	}
	again := after.Restarted("c", tail(7, 1))
	if d, _ = again.Elect(among("c")); d.Leader != "c" || d.Unclean {
		t.Errorf("after an unclean election nothing but the leader's log counts: %+v", d)
	}
}

func TestWaitingSaysForWhom(t *testing.T) {
	pair := durable(2, "a", "b").Left("b").Left("a")
	for _, c := range []struct {
		m    election.Membership
		live []string
		want string
	}{
		{pair, nil, "no registered replica is sure to hold what was committed; waiting for a or b to register"},
		{
			pair.Restarted("a", tail(1, 1)).Restarted("b", tail(1, 1)),
			[]string{"a"},
			"no registered replica is sure to hold what was committed; " +
				"waiting for 1 more of b to register after an unclean stop or to be declared lost",
		},
		{
			durable(3, "a", "b", "c").Left("b").LostCopy("c").Restarted("a", tail(1, 1)),
			[]string{"a"},
			"no registered replica is sure to hold what was committed (lost: c); waiting for b to register",
		},
	} {
		if d, _ := c.m.Elect(among(c.live...)); d.Waiting != c.want {
			t.Errorf("%s\nwant %s", d.Waiting, c.want)
		}
	}
}

func TestTailBefore(t *testing.T) {
	ordered := []election.Tail{{}, tail(1, 1), tail(1, 9), tail(2, 1), tail(2, 3)}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.Before(b) != (i < j) {
				t.Errorf("%v before %v: %t", a, b, a.Before(b))
			}
		}
	}
}
