package commitlog_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// leaderBehindACrash is a log that forgot in a crash how far it is compacted, and the batches that it had before that.
func leaderBehindACrash(t *testing.T) (leader *logKit, original []byte) {
	leader = newKit(t, eachOwn)
	leader.put("x=1", "a=1", "b=1", "a=2", "-", "c=1", "-")
	if err := leader.opts.Marks.Flush(); err != nil {
		t.Fatal(err)
	}
	original = allFrom(t, leader.log, commitlog.Origin)
	leader.compact(commitlog.Compaction{}, 1<<62)
	leader.crash(vfs.KeepNone)
	leader.open()
	if leader.log.Compacted() != 3 || lastHole(leader) != 3 {
		t.Fatalf("the leader is compacted through %d and its hole ends at %d", leader.log.Compacted(), lastHole(leader))
	}
	return leader, original
}

// A leader that crashed behind a compaction, or is in the middle of one, knows only of the segments that it has rewritten. The
// last batches of those may be gone, so a hole ends right at the seq up to which it says that it is compacted. Found by the
// simulation of a cluster, seeds 33399 and 38888.
func TestCopyAcrossAHoleBeforeWhatIsCompacted(t *testing.T) {
	t.Parallel()
	leader, original := leaderBehindACrash(t)
	want := leader.read()
	for _, had := range []int{0, 1} { // batches that the follower had before the compaction
		for _, segment := range []int64{1, 400, 1 << 20} {
			follower := newKit(t, withMarks(segment))
			if had == 1 {
				if _, err := follower.log.Copy(original[:headersIn(t, original)[0].Size], 0); err != nil {
					t.Fatal(err)
				}
			}
			follow(t, follower.log, leader.log, 200)
			follower.commit()
			if diff := cmp.Diff(want, follower.read()); diff != "" {
				t.Fatalf("segments of %d bytes, %d batches before: %s", segment, had, diff)
			}
			follower.reopen()
			follower.noFaults()
			if diff := cmp.Diff(want, follower.read()); diff != "" || len(follower.report.Damaged)+len(follower.report.Cut) > 0 {
				t.Fatalf("segments of %d bytes, %d batches before, opened again: %+v, %s", segment, had, follower.report, diff)
			}
		}
	}
}
