package node

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A single voter leads within 100 ms of Open with the timing of a cluster, fresh and reopened (protocol.md 3.4). Judged is the
// quickest round: a machine that is busy with something else lets one of them pass.
func TestAloneLeadsAtOnce(t *testing.T) {
	const limit = 100 * time.Millisecond
	folder, quickest := t.TempDir(), patience
	for round := range 5 {
		before := time.Now()
		n := openNode(t, Options{Folder: folder, Bootstrap: true, Timing: Timing{SnapshotCheck: time.Hour}})
		for !n.Leading() {
			select {
			case <-n.LeadershipChanges():
			case <-time.After(patience):
				t.Fatal("no leader")
			}
		}
		took := time.Since(before)
		t.Logf("round %d: leader after %v", round, took)
		quickest = min(quickest, took)
		n.propose(t, "x")
		if got := len(n.journal.all()); got != round+1 {
			t.Errorf("round %d: %d commands", round, got)
		}
		n.close(t)
	}
	if quickest > limit {
		t.Errorf("leader after %v, want %v at most", quickest, limit)
	}
}

// What was answered survives a restart, in its place and with its index (S1 for metadata).
func TestReopenKeepsCommands(t *testing.T) {
	n := openNode(t, Options{Bootstrap: true})
	n.waitLeading(t)
	first := n.propose(t, "one")
	second := n.propose(t, "two")
	if string(first.Result) != "1:one" || string(second.Result) != "2:two" || second.Index <= first.Index {
		t.Errorf("outcomes %d %q and %d %q", first.Index, first.Result, second.Index, second.Result)
	}
	id := n.ID()
	n = n.reopen(t)
	if n.ID() != id {
		t.Errorf("the raft id was %s and is %s", id, n.ID())
	}
	n.waitApplied(t, second.Index)
	sameCommands(t, n, "one", "two")
	if lines := n.journal.all(); lines[1].Index != second.Index {
		t.Errorf("index was %d and is %d", second.Index, lines[1].Index)
	}
}

// Restart from snapshot and log: no command is missing and none is there twice.
func TestReopenFromSnapshotAndLog(t *testing.T) {
	timing := Timing{SnapshotCheck: 5 * time.Millisecond, SnapshotEntries: 10, TrailingEntries: 3}
	n := openNode(t, Options{Bootstrap: true, Timing: timing})
	n.waitLeading(t)
	var want []string
	var last Outcome
	for i := range 60 {
		want = append(want, string(rune('A'+i)))
		last = n.propose(t, want[i])
	}
	eventually(t, "a snapshot", func() bool {
		metas, err := n.disk.snapshots.List()
		first, _ := n.disk.log.FirstIndex()
		return err == nil && len(metas) > 0 && first > 30
	})
	n = n.reopen(t)
	if n.Applied() < 30 {
		t.Errorf("the snapshot brought it to %d only", n.Applied())
	}
	n.waitApplied(t, last.Index)
	sameCommands(t, n, want...)
}

// Few commands that are large are not applied again at each start: a snapshot is due when they have as many bytes as the last one.
func TestSnapshotByBytes(t *testing.T) {
	timing := Timing{SnapshotCheck: time.Hour, SnapshotBytes: 1000}
	n := openNode(t, Options{Bootstrap: true, Timing: timing})
	n.waitLeading(t)
	var want []string
	propose := func(bytes int) {
		t.Helper()
		want = append(want, strings.Repeat("x", bytes))
		n.propose(t, want[len(want)-1])
	}
	newest := func() uint64 {
		t.Helper()
		metas, err := n.disk.snapshots.List()
		if err != nil || len(metas) == 0 {
			return 0
		}
		return metas[0].Index
	}
	propose(999)
	propose(1)
	eventually(t, "a snapshot of 1000 bytes", func() bool { return newest() == n.Applied() })
	first := newest()
	propose(800) // less than the snapshot has, which has names and quotes besides
	n = n.reopen(t)
	n.waitLeading(t)
	if n.Applied() < first {
		t.Errorf("the snapshot brought it to %d, not %d", n.Applied(), first)
	}
	propose(100)
	if got := n.growth.since.Load(); got != 900 || newest() != first {
		t.Errorf("%d bytes since the snapshot at %d", got, newest())
	}
	propose(400) // with what was applied again at the start
	eventually(t, "another snapshot", func() bool { return newest() == n.Applied() })
	sameCommands(t, n, want...)
}

// held is a machine whose snapshots are written when the test says so.
type held struct {
	journal
	begun, release chan struct{}
}

func (h *held) Snapshot() io.WriterTo { return heldState{h, h.journal.Snapshot()} }

type heldState struct {
	held *held
	io.WriterTo
}

func (s heldState) WriteTo(to io.Writer) (int64, error) {
	close(s.held.begun)
	<-s.held.release
	return s.WriterTo.WriteTo(to)
}

// The disk fails while a snapshot is written that was due. Shutdown works all the same, see Fatal.
func TestShutdownAfterFailureInSnapshot(t *testing.T) {
	h := &held{begun: make(chan struct{}), release: make(chan struct{})}
	n, err := Open(t.Context(), Options{
		Folder: t.TempDir(), Name: "a", Logger: quiet(), Bootstrap: true, Machine: h, Listener: listen(t),
		Timing: Timing{SnapshotCheck: time.Hour, SnapshotBytes: 1000, TrailingEntries: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a leader", n.Leading)
	if _, err := n.Propose(t.Context(), make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	<-h.begun
	if err := n.disk.store.db.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := n.Propose(ctx, []byte("x")); err == nil {
		t.Error("a command was stored without a disk")
	}
	if err := <-n.Fatal(); err == nil {
		t.Error("no word of it")
	}
	close(h.release)
	if err := n.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
}

// A snapshot is asked for once, and again when it has not come to be.
func TestGrowth(t *testing.T) {
	t.Parallel()
	g := newGrowth(10, 0)
	due := func() bool {
		select {
		case <-g.due:
			return true
		default:
			return false
		}
	}
	if g.add(9); due() {
		t.Error("due after 9 bytes")
	}
	if g.add(1); !due() {
		t.Error("not due after 10")
	}
	g.asked.Store(true)
	if g.add(5); due() {
		t.Error("asked for twice")
	}
	taken := g.begin()
	if g.add(3); taken != 15 || due() {
		t.Errorf("%d are taken", taken)
	}
	g.over(taken) // it failed
	if g.add(1); !due() {
		t.Error("not due again")
	}
	g.asked.Store(true)
	g.begin()
	g.written(100)
	g.over(0)
	if g.add(99); due() {
		t.Error("due before there is as much as the snapshot has")
	}
	if g.add(1); !due() {
		t.Error("not due")
	}
}

// Losing the raft folder makes a new raft id (protocol.md 3.5).
func TestLostFolderIsAnotherNode(t *testing.T) {
	first := openNode(t, Options{Bootstrap: true})
	second := openNode(t, Options{Bootstrap: true})
	if first.ID() == second.ID() {
		t.Errorf("both are %s", first.ID())
	}
}

// The folder of another broker is refused.
func TestFolderOfAnotherBroker(t *testing.T) {
	n := openNode(t, Options{Name: "a", Bootstrap: true})
	n.close(t)
	options := n.options
	options.Name, options.Listener = "b", listen(t)
	if other, err := Open(t.Context(), options); err == nil {
		t.Error("opened", other.ID())
	}
}

// Before anything is handed to raft a done context is a definite no; afterwards it is an unknown outcome.
func TestCancelledProposal(t *testing.T) {
	nodes := group(t, 2, &directory{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := nodes[0].Propose(ctx, []byte("never")); !errors.Is(err, ErrNotEnqueued) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("cancelled before: %v", err)
	}
	nodes[1].close(t) // without it nothing is committed
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := nodes[0].Propose(ctx, []byte("perhaps")); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("cancelled while it waited: %v", err)
	}
}

// After Shutdown everything is a definite no.
func TestStopped(t *testing.T) {
	n := openNode(t, Options{Bootstrap: true})
	n.waitLeading(t)
	n.close(t)
	if _, err := n.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrStopped) {
		t.Errorf("propose: %v", err)
	}
	if err := n.WaitApplied(t.Context(), 1<<40); !errors.Is(err, ErrStopped) {
		t.Errorf("wait: %v", err)
	}
	n.close(t)
}

func TestTooLarge(t *testing.T) {
	n := openNode(t, Options{Bootstrap: true})
	n.waitLeading(t)
	if _, err := n.Propose(t.Context(), make([]byte, MaxCommandBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
	if _, err := n.Propose(t.Context(), make([]byte, MaxCommandBytes)); err != nil {
		t.Errorf("as large as allowed: %v", err)
	}
}

// A machine that cannot read its snapshot stops the start; an older snapshot is not taken instead.
func TestSnapshotOfAnotherVersion(t *testing.T) {
	timing := Timing{SnapshotCheck: 5 * time.Millisecond, SnapshotEntries: 3, TrailingEntries: 1}
	n := openNode(t, Options{Bootstrap: true, Timing: timing})
	n.waitLeading(t)
	eventually(t, "two snapshots", func() bool {
		n.propose(t, "x")
		metas, err := n.disk.snapshots.List()
		return err == nil && len(metas) == snapshotsKept
	})
	n.close(t)
	options := n.options
	options.Listener, options.Machine = listen(t), &journal{broken: io.ErrUnexpectedEOF}
	if _, err := Open(t.Context(), options); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("opened with %v", err)
	}
}
