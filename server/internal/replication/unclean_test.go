package replication_test

import (
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/replication"
)

// Protocol.md 3.7, S1: an unclean election is told once, by whoever writes first after it (seed 129 of a review).
func TestUncleanDue(t *testing.T) {
	t.Parallel()
	log := func(epochs ...uint64) *replication.History {
		h := &replication.History{First: commitlog.Origin, End: commitlog.Origin}
		for _, e := range epochs {
			h.Epochs = append(h.Epochs, replication.EpochStart{Epoch: e, Start: h.End})
			h.End.Seq++
		}
		return h
	}
	for _, c := range []struct {
		name           string
		leads, unclean uint64
		log            *replication.History
		want           bool
	}{
		{"never", 9, 0, log(3, 5), false},
		{"never, empty log", 9, 0, log(), false},
		{"elected uncleanly now", 28, 28, log(3, 5), true},
		{"elected uncleanly, wrote nothing, elected cleanly", 34, 28, log(3, 5), true},
		{"told by a leader before", 34, 28, log(3, 5, 28), false},
		{"told by one that was elected cleanly", 40, 28, log(3, 34), false},
		{"uncleanly once more", 40, 40, log(3, 28), true},
	} {
		v := replication.View{LeaderEpoch: c.leads, UncleanEpoch: c.unclean}
		if got := replication.UncleanDue(&v, c.log); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
