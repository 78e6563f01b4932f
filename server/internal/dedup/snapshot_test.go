package dedup_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// sample is a snapshot with ids of three batches and two producers.
func sample() []byte {
	s := stored()
	s.Append(dedup.Batch{Seq: 2, Time: 2 * second, BaseOffset: 13, Count: 2, Producer: 4, ProducerEpoch: 7, ProducerSequence: 0},
		[]dedup.Stored{{Offset: 14, ID: number(4)}})
	s.Append(dedup.Batch{Seq: 300, Time: 3 * second, BaseOffset: 15, Count: 1, Producer: 9, ProducerEpoch: 1, ProducerSequence: 1},
		[]dedup.Stored{{Offset: 15, ID: number(1)}})
	return s.Save(nil, 300, 3*second)
}

// resum puts the right checksum at the end of a snapshot.
func resum(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= 4 {
		binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli)))
	}
	return b
}

func TestLoadGivesWhatWasSaved(t *testing.T) {
	t.Parallel()
	s, seq, err := dedup.Load(dedup.Options{}, sample())
	if err != nil || seq != 300 {
		t.Fatalf("loading gives seq %d, %v", seq, err)
	}
	wantFound(t, s.Window(), number(1), 3*second, 15)
	wantFound(t, s.Window(), number(2), 3*second, 11)
	wantFound(t, s.Window(), number(4), 3*second, 14)
	wantStanding(t, s.Producers(), 1, 0, 3*second, dedup.Standing{Verdict: dedup.Repeated, Offset: 10, Count: 3})
	wantStanding(t, s.Producers(), 1, 2, 3*second, dedup.Standing{Verdict: dedup.Fresh})
	if err := s.Truncated(301); err != nil {
		t.Error(err)
	}
	if err := s.Truncated(300); !errors.Is(err, dedup.ErrRebuild) {
		t.Errorf("cutting a batch that the snapshot holds gives %v, want ErrRebuild", err)
	}
}

// A longer window than the one that was saved is not claimed to be known.
func TestLoadWithALongerWindow(t *testing.T) {
	t.Parallel()
	s := dedup.New(dedup.Options{WindowNanos: 10 * second})
	s.Append(dedup.Batch{Seq: 1, Time: 100 * second}, nil)
	loaded, _, err := dedup.Load(dedup.Options{WindowNanos: 60 * second}, s.Save(nil, 1, 100*second))
	if err != nil {
		t.Fatal(err)
	}
	if got := loaded.Window().EffectiveNanos(105 * second); got != 15*second {
		t.Errorf("5 s later the effective window is %d s, want 15", got/second)
	}
}

func TestBadSnapshotAsksForARebuild(t *testing.T) {
	t.Parallel()
	good := sample()
	newer := bytes.Clone(good)
	newer[4] = 2
	bad := map[string][]byte{
		"empty": nil, "of a later version": resum(newer), "with a byte more": resum(append(bytes.Clone(good), 0)),
		"of zeros": make([]byte, 500),
	}
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1
		bad["with a bit flipped"] = flipped
		if _, _, err := dedup.Load(dedup.Options{}, flipped); !errors.Is(err, dedup.ErrRebuild) {
			t.Errorf("with a bit of byte %d flipped: %v, want ErrRebuild", i, err)
		}
		bad["cut short"] = resum(good[:i])
		if _, _, err := dedup.Load(dedup.Options{}, bad["cut short"]); !errors.Is(err, dedup.ErrRebuild) {
			t.Errorf("cut to %d bytes: %v, want ErrRebuild", i, err)
		}
	}
	for name, b := range bad {
		budget := dedup.NewBudget(1 << 20)
		if _, _, err := dedup.Load(dedup.Options{Budget: budget}, b); !errors.Is(err, dedup.ErrRebuild) {
			t.Errorf("a snapshot %s gives %v, want ErrRebuild", name, err)
		}
		if budget.Used() != 0 {
			t.Errorf("a snapshot %s leaves %d bytes of the budget in use", name, budget.Used())
		}
	}
}

// Any bytes are an error or a state that can be used and saved again, and take no more memory than their size allows.
func FuzzLoad(f *testing.F) {
	f.Add(sample(), uint8(0))
	f.Add(dedup.New(dedup.Options{}).Save(nil, 0, 0), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, broken uint8) {
		if broken%8 > 0 { // mostly past the checksum
			b = resum(b)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, seq, err := dedup.Load(dedup.Options{}, b)
		runtime.ReadMemStats(&after)
		if taken, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<10+64*len(b)); taken > most {
			t.Errorf("%d bytes took %d bytes of memory, more than %d", len(b), taken, most)
		}
		if err != nil {
			if !errors.Is(err, dedup.ErrRebuild) || s != nil {
				t.Errorf("the error is %v", err)
			}
			return
		}
		use(t, s, seq, int64(binary.LittleEndian.Uint64(b[16:])))
	})
}

// use puts a loaded state through its paces. The snapshot says that its last batch was appended at time.
func use(t *testing.T, s *dedup.State, seq uint64, time int64) {
	t.Helper()
	saved := s.Save(nil, seq, time)
	loaded, at, err := dedup.Load(dedup.Options{}, saved)
	if err != nil || at != seq {
		t.Fatalf("saved again it loads as %d, %v", at, err)
	}
	if again := loaded.Save(nil, seq, time); !bytes.Equal(again, saved) {
		t.Errorf("it saves\n%x, and that as\n%x", saved, again)
	}
	if seq >= 1<<32 {
		return // the next id would drop those of 2^32 batches before
	}
	ids := []dedup.ID{number(1), number(2), number(1)}
	d := loaded.Decide(dedup.Request{IDs: ids, Count: 3}, 100, time, nil)
	if len(d.Duplicates) == 0 {
		t.Error("a message is in the batch twice, and that was not seen")
	}
	loaded.Append(dedup.Batch{Seq: seq + 1, Time: time, BaseOffset: 100, Count: 2, Producer: 9}, d.Kept(ids, nil))
	if _, found := loaded.Window().Lookup(number(1), time); !found {
		t.Error("an id that was added is not found")
	}
	if err := loaded.Truncated(seq + 1); err != nil {
		t.Error(err)
	}
	if again := loaded.Save(nil, seq, time); !bytes.Equal(again, saved) {
		t.Errorf("after a batch was appended and cut it saves\n%x, before\n%x", again, saved)
	}
	loaded.Committed(seq)
	if err := loaded.Truncated(0); !errors.Is(err, dedup.ErrRebuild) {
		t.Errorf("cutting all gives %v, want ErrRebuild", err)
	}
	if loaded.Window().Len() != 0 || loaded.Producers().Len() != 0 {
		t.Errorf("%d ids and %d producers are left of nothing", loaded.Window().Len(), loaded.Producers().Len())
	}
}
