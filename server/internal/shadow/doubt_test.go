package shadow

import (
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
)

// A new leader that began to listen less than a window ago, or had no room to remember a record, says that what it hears may
// be in the log (seeds 208305 and 213723 of the simulation of whole clusters); a window later it is sure.
func TestMayBeStored(t *testing.T) {
	for _, c := range []struct {
		name  string
		doubt func(r ringTest)
		want  bool
	}{
		{"listening for long", func(ringTest) {}, false},
		{"back from an absence", func(r ringTest) { r.Incomplete(batch.GapNATSDisconnected, start, start+1, 0, false) }, true},
		{"no room for a record", func(r ringTest) {
			r.options.MaxBytes = overhead / 2
			r.has(1, start)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRingTest(t)
			c.doubt(r)
			if r.MayBeStored(start + 2) {
				t.Error("a follower appends nothing, and is in doubt of nothing")
			}
			r.Promote(start + 2)
			for at, want := range map[int64]bool{start + 3: c.want, start + window + 2: false} {
				if got := r.MayBeStored(at); got != want {
					t.Errorf("%d after the promotion: %v, want %v", at-start-2, got, want)
				}
			}
		})
	}
}
