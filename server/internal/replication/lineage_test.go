package replication_test

import (
	"math/rand/v2"
	"testing"
)

// R10: where epochs end is what the batches say, after truncation and crashes, and what they said after compaction and
// retention, which take batches away and no epoch that has one left.
func TestEpochEndsAreThoseOfTheBatches(t *testing.T) {
	t.Parallel()
	kept, cut := 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 10))
		log := newToyLog()
		ends := map[uint64]uint64{} // seq behind the last batch of each epoch
		for epoch := uint64(1); epoch < 40; epoch += 1 + rng.Uint64N(3) {
			for i := range 1 + rng.IntN(4) {
				log.append(epoch, i == 0, "")
			}
			ends[epoch] = log.end.Seq
		}
		log.sync(log.end.Seq)
		if rng.IntN(2) == 0 {
			at := 1 + rng.Uint64N(log.end.Seq)
			log.truncate(at)
			cut++
			for epoch := range ends {
				ends[epoch] = min(ends[epoch], log.end.Seq)
			}
		}
		if rng.IntN(2) == 0 {
			log.compact(1+rng.Uint64N(log.end.Seq), rng.Uint64N(40), rng.Uint64N(40))
			kept++
		}
		if rng.IntN(2) == 0 {
			log.expire(1 + rng.Uint64N(log.end.Seq))
		}
		h := log.history()
		for epoch := range uint64(42) {
			largest, end := h.EpochEnd(epoch)
			if largest > epoch || largest > 0 && end != ends[largest] {
				t.Fatalf("seed %d: epoch %d: (%d, %d), the batches of %d end at %d\n%v", seed, epoch, largest, end, largest, ends[largest], log)
			}
			for _, b := range log.batches {
				if b.Epoch <= epoch && largest < b.Epoch {
					t.Fatalf("seed %d: epoch %d: %d is the largest, and there is a batch of %d\n%v", seed, epoch, largest, b.Epoch, log)
				}
			}
		}
	}
	if kept == 0 || cut == 0 {
		t.Errorf("%d compactions, %d truncations", kept, cut)
	}
}
