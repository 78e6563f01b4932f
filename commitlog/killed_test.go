package commitlog_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// killScenarios are what a log may be doing when its process is killed. Its mark, which is on the disk, says that it is settled.
var killScenarios = map[string]struct {
	segmentBytes int64
	prepare      func(*logKit)
	do           func(*logKit) error // ends with an error if the process is killed
}{
	"a truncation within the last segment": {
		do: func(k *logKit) error { _, err := k.log.TruncateUnclean(k.log.End().Seq - 1); return err },
	},
	"a truncation across segments": {
		do: func(k *logKit) error { _, err := k.log.TruncateUnclean(3); return err },
	},
	"an append for which there is no room": {
		segmentBytes: 64 << 10,
		prepare: func(k *logKit) {
			space, err := k.mem.Space("data")
			if err != nil {
				k.Fatal(err)
			}
			k.mem.SetCapacity(space.TotalBytes - space.FreeBytes + 4096)
		},
		do: func(k *logKit) error {
			small, large := batchOf(numbered(k.log.End().Offset, 1)...), batchOf(batch.Record{Value: make([]byte, 8<<10)})
			if _, err := k.log.Append(1, 100, small, large); !errors.Is(err, commitlog.ErrFull) {
				return err
			}
			return nil
		},
	},
	"retention": {
		do: func(k *logKit) error { _, err := k.log.SetStart(k.log.End().Offset - 2); return err },
	},
	"a purge of everything": {
		do: func(k *logKit) error { _, err := k.log.Purge(k.log.End().Offset, 100); return err },
	},
	"appends and a new segment": {
		do: func(k *logKit) error {
			for range 6 {
				if _, err := k.log.Append(1, 100, batchOf(numbered(k.log.End().Offset, 1)...)); err != nil {
					return err
				}
				if _, err := k.log.Sync(); err != nil {
					return err
				}
			}
			return k.opts.Marks.Flush()
		},
	},
}

// What the first start after a kill finds is there after a power cut, too, and nothing behind it, though that start syncs nothing of which
// the mark says that it is on the disk (S6; DESIGN.md 6). The process is killed at every operation.
func TestKilledThenCut(t *testing.T) {
	t.Parallel()
	for name, scenario := range killScenarios {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, encrypted %v", name, encrypted), func(t *testing.T) {
				t.Parallel()
				believed := 0
				for n := 1; ; n++ {
					k := newKit(t, func(k *logKit) {
						k.opts.SegmentBytes, k.marked = cmp.Or(scenario.segmentBytes, 900), true
						if encrypted {
							k.opts.Key = masterKey(1)
						}
					})
					k.fill(9, 1)
					if err := k.opts.Marks.Flush(); err != nil {
						t.Fatal(err)
					}
					if scenario.prepare != nil {
						scenario.prepare(k)
					}
					if !k.killedAt(n, scenario.do) {
						break
					}
					if files, folders := k.opening(); files+folders == 0 {
						believed++
					}
					k.sameAfterPowerCut(n)
				}
				if believed == 0 {
					t.Error("no start believed the mark: nothing was tested")
				}
			})
		}
	}
}

// killedAt kills the process at the nth operation on the disk. False: do came to its end before.
func (k *logKit) killedAt(n int, do func(*logKit) error) bool {
	k.Helper()
	var after *vfs.Mem
	k.mem.OnOp(func(vfs.Op) error {
		if n--; n == 0 {
			after = k.mem.Kill()
		}
		return nil
	})
	if err := do(k); err != nil && after == nil {
		k.Fatal(err)
	}
	if after == nil {
		return false
	}
	after.SetCapacity(0)
	k.mem, k.fs = after, after
	return true
}

// sameAfterPowerCut holds the log that is open against what another start finds when the power goes now.
func (k *logKit) sameAfterPowerCut(n int) {
	k.Helper()
	end, values := k.log.End(), k.values()
	const random = 30
	for _, keep := range append([]vfs.Keep{vfs.KeepNone, vfs.KeepAll}, slices.Repeat([]vfs.Keep{vfs.KeepRandom}, random)...) {
		next := *k
		next.mem = k.mem.CrashClone(keep)
		next.fs = next.mem
		next.open()
		got := next.values() // what was below the log start may be back
		if next.log.End() != end || len(got) < len(values) || !slices.Equal(got[len(got)-len(values):], values) {
			k.Fatalf("killed at operation %d, the log ends at %v and holds %q; after a power cut, %v: at %v, %q",
				n, end, values, keep, next.log.End(), got)
		}
	}
}

// values are those of all records, as a reader gets them when all is committed.
func (k *logKit) values() []string {
	k.Helper()
	k.log.Commit(k.log.End())
	var all []string
	for r, err := range k.log.Records(context.Background(), k.log.Start(), false) {
		if err != nil {
			k.Fatal(err)
		}
		all = append(all, string(r.Value))
	}
	return all
}

// A key that was written and not synced when the process was killed is read from the page cache, and gone after a power cut: nothing
// is encrypted with it (S1).
func TestKeyThatWasNotSynced(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(k *logKit) {
		k.opts.SegmentBytes, k.marked, k.opts.Key = 900, true, masterKey(1)
	})
	k.fill(9, 1)
	var killed *vfs.Mem
	k.mem.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData && strings.HasSuffix(op.Name, ".key") && killed == nil {
			killed = k.mem.Kill()
		}
		return nil
	})
	_, _ = k.log.Purge(k.log.End().Offset, 100)
	if killed == nil {
		t.Fatal("no key is synced")
	}
	k.mem, k.fs = killed, killed
	k.open()
	k.append(200, batch.Record{Value: []byte("acked")})
	if _, err := k.log.Sync(); err != nil {
		t.Fatal(err)
	}
	k.crash(vfs.KeepNone)
	k.open()
	if got := k.values(); len(got) == 0 || got[len(got)-1] != "acked" {
		t.Errorf("after the power cut: %q", got)
	}
}
