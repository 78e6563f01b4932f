package replication_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/server/internal/replication"
)

// ledger says what was committed. An unclean election begins another one, with what the broker that it elected had of the
// one before: logs are held against it once they agree with its leader's. Whoever has not heard of the election goes on with
// the one before, and what is committed there meanwhile is lost.
type ledger struct {
	truth map[uint64]replication.BatchHeader
	top   uint64 // seq below which everything is safe with every member of the ISR
	told  uint64 // seq below which leaders take everything for committed
}

func newLedger() *ledger {
	return &ledger{truth: map[uint64]replication.BatchHeader{}, top: 1, told: 1}
}

// electUncleanly gives the partition to one broker, whatever it lacks.
func (c *cluster) electUncleanly(i int) {
	b, before := c.brokers[i], c.newest()
	if !before.Members[i].Live || c.mending[i] > 0 {
		return
	}
	c.happened["unclean"]++
	c.command(func(v *replication.View) {
		v.Leader, v.LeaderEpoch, v.UncleanEpoch = b.name, c.index, c.index
		for k := range v.Members {
			v.Members[k].InSync = k == i
		}
	})
	next := newLedger()
	if of := c.ledgers[c.eras[i]]; of != nil {
		// What it knows to be committed it keeps, whoever it follows until it hears that it leads.
		next.top = min(of.top, b.log.committed.Seq)
		if before.Synced {
			next.top = min(next.top, b.log.durable.Seq)
		}
		maps.Copy(next.truth, of.truth)
		maps.DeleteFunc(next.truth, func(seq uint64, _ replication.BatchHeader) bool { return seq >= next.top })
	}
	c.ledgers[c.index] = next
}

// reconciled takes note of a log that agrees with the leader's, or that has lost what was committed to an unclean election.
func (c *cluster) reconciled(b *broker, word string) {
	i := int(b.name[0] - 'a')
	if word == "stream" || strings.HasPrefix(word, "restart") {
		c.eras[i] = b.view.UncleanEpoch
	}
	if strings.HasSuffix(word, " unclean") {
		c.happened["cut uncleanly"]++
		c.highest[i] = 0
	}
}

// check holds what there is against what was committed.
func (c *cluster) check() {
	for _, leads := range []bool{true, false} { // followers know of nothing that no leader has committed
		for i, b := range c.brokers {
			if (b.leader != nil) == leads && (leads || b.follower != nil) {
				c.checkReplica(i, b)
			}
		}
	}
	v := c.newest()
	committed := c.ledgers[v.UncleanEpoch]
	for _, i := range inSync(&v) {
		b := c.brokers[i]
		safe := b.log.end.Seq
		if v.Synced {
			safe = b.log.durable.Seq
		}
		if safe < committed.top {
			c.fail("S3, S5", "%s is in the ISR and safe up to %d of %d", b.name, safe, committed.top)
		}
		c.compare(b, committed, committed.top, false)
	}
}

func (c *cluster) checkReplica(i int, b *broker) {
	at, committed := b.committed().Seq, c.ledgers[c.eras[i]]
	if at < c.highest[i] {
		c.fail("S7", "the commit position of %s goes back from %d to %d", b.name, c.highest[i], at)
	}
	if b.log.end.Seq < at {
		c.fail("S4", "%s has committed up to %d and ends at %d", b.name, at, b.log.end.Seq)
	}
	if b.leader == nil && at > max(committed.told, c.highest[i]) {
		c.fail("S12", "%s takes seqs below %d for committed; leaders came to %d", b.name, at, committed.told)
	}
	c.highest[i] = at
	c.compare(b, committed, at, b.leader != nil)
	if c.violated != nil || b.leader == nil {
		return
	}
	committed.told = max(committed.told, at)
	if c.eras[i] > 0 && b.view.Synced {
		at = min(at, b.log.durable.Seq) // whom an unclean election made leader may have been told of more than was safe with it
	}
	committed.top = max(committed.top, at)
}

// compare holds a log, up to at, against what was committed; a leader's word is what is committed.
func (c *cluster) compare(b *broker, committed *ledger, at uint64, leader bool) {
	next := b.log.first.Seq
	for _, h := range b.log.batches {
		if h.Seq >= at {
			break
		}
		known, ok := committed.truth[h.Seq]
		hole := h.Seq != next && h.Seq > b.log.compacted
		next = h.Seq + 1
		switch {
		case hole:
			c.fail("S1, S8", "%s lacks what is committed before %d, and is compacted up to %d", b.name, h.Seq, b.log.compacted)
		case !ok && leader:
			if h.Seq < b.log.compacted {
				h.CRC = 0 // it may have been rewritten
			}
			committed.truth[h.Seq] = h
		case ok && (known.Epoch != h.Epoch || known.Offset != h.Offset),
			ok && h.Seq >= b.log.compacted && known.CRC != 0 && known.CRC != h.CRC:
			c.fail("S1, S4", "%s has a batch of epoch %d at %d, committed was one of epoch %d", b.name, h.Epoch, h.Seq, known.Epoch)
		}
	}
}

// What the ledger is for: one batch of a good history that is gone, there twice or in the place of another is found.
func TestLedgerFindsFaults(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(list []replication.BatchHeader) []replication.BatchHeader{
		"one gone":  func(list []replication.BatchHeader) []replication.BatchHeader { return slices.Delete(list, 1, 2) },
		"one twice": func(list []replication.BatchHeader) []replication.BatchHeader { return slices.Insert(list, 1, list[0]) },
		"two swapped": func(list []replication.BatchHeader) []replication.BatchHeader {
			list[0], list[1] = list[1], list[0]
			return list
		},
		"another one": func(list []replication.BatchHeader) []replication.BatchHeader { list[1].CRC ^= 2; return list },
	} {
		spoiled := 0
		for seed := range uint64(40) {
			c := newCluster(seed + 1)
			c.run(150)
			c.check()
			if c.violated != nil {
				t.Fatalf("seed %d: %v", seed+1, c.violated)
			}
			for i, b := range c.brokers {
				if b.log.compacted > 1 || len(b.log.batches) < 3 || b.committed().Seq < b.log.first.Seq+3 || c.eras[i] != 0 {
					continue
				}
				spoiled++
				good := slices.Clone(b.log.batches)
				b.log.batches = spoil(b.log.batches)
				c.check()
				if c.violated == nil {
					t.Errorf("seed %d, %s: %s is not found: %v", seed+1, b.name, name, b.log)
				}
				b.log.batches, c.violated = good, nil
			}
		}
		if spoiled == 0 {
			t.Errorf("%s: no history had committed enough", name)
		}
	}
}
