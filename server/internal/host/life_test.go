package host_test

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
)

func (w *world) partitionID(stream string, number int32) uuid.UUID {
	w.t.Helper()
	s, ok := w.control.State().Stream(stream)
	if !ok {
		w.t.Fatalf("no stream %q in the metadata", stream)
	}
	return s.Partitions[number]
}

func (w *world) folderOf(stream string, number int32) string {
	w.t.Helper()
	return path.Join(dataDir, "partitions", w.partitionID(stream, number).String())
}

func (w *world) names(folder string) []string {
	w.t.Helper()
	entries, err := w.disk.ReadDir(folder)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A life after a clean stop knows that nothing is missing; one after a power cut says that something may be (C5, 2.9).
// Each leads in an epoch of its own (S4).
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	first := w.create(orders()).GetPartitions()[0].GetLeaderEpoch()
	w.publish("orders", 0, "a")
	w.stop()
	if names := strings.Join(w.names(dataDir), " "); !strings.Contains(names, "clean") {
		t.Errorf("a clean stop left no word of it: %s", names)
	}

	w.start()
	if names := strings.Join(w.names(dataDir), " "); strings.Contains(names, "clean") {
		t.Errorf("the word is still there while the broker runs: %s", names)
	}
	s, err := w.Describe("orders")
	if err != nil {
		t.Fatal(err)
	}
	if p := s.GetPartitions()[0]; p.GetLeaderEpoch() <= first || p.GetGaps() != 0 || p.GetFault() != "" {
		t.Errorf("after a clean stop: %v; the first leader epoch was %d", p, first)
	}
	w.wantCaptured("orders")
	w.publish("orders", 0, "b")
	w.kill()

	w.start()
	w.want("orders", 0, "a", "b")
	if s, err = w.Describe("orders"); err != nil || s.GetPartitions()[0].GetLastGap().GetCause() != trestlev1.GapCause_GAP_CAUSE_RESTART {
		t.Errorf("after a power cut: %v, %v", s, err)
	}
	w.publish("orders", 0, "c")
	w.stop()
}

// Whenever the power goes while a stream is made, it leads afterwards if the metadata has it: a copy that was never made is
// not one that is lost. What was answered is there.
func TestCreateCrashes(t *testing.T) {
	t.Parallel()
	crashAt(t,
		func(w *world) { w.start() },
		func(w *world) error {
			_, _, err := w.Create(w.t.Context(), orders(), false)
			if err == nil {
				w.publish("orders", 0, "a")
			}
			return err
		},
		func(w *world, done bool) {
			_, known := w.control.State().Stream("orders")
			if !known {
				if done {
					w.t.Error("what was answered is gone")
				}
				w.create(orders())
			}
			w.wantCaptured("orders")
			w.publish("orders", 0, "b")
			got := w.values("orders", 0)
			if done && len(got) != 2 || got[len(got)-1] != "b" {
				w.t.Errorf("got %q", got)
			}
		})
}

// A copy that was made and is gone counts as lost: the partition has no leader rather than an empty one, until the operator
// accepts the loss (S1).
func TestLostCopy(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*world){"stop": (*world).stop, "power cut": (*world).kill} {
		w := newWorld(t).start()
		w.create(orders())
		if name == "stop" {
			w.publish("orders", 0, "a")
		} // after a power cut it counts from the first moment on
		stop(w)
		if err := w.disk.RemoveAll(w.folderOf("orders", 0)); err != nil {
			t.Fatal(err)
		}
		w.start()
		s, err := w.Describe("orders")
		if err != nil {
			t.Fatal(err)
		}
		if p := s.GetPartitions()[0]; p.GetLeader() != "" || p.GetFault() == "" {
			t.Errorf("%s: a copy that is gone leads: %v", name, p)
		}
		var notLed *host.NotLedError
		if _, _, err := w.Publishable("orders", 0); !errors.As(err, &notLed) {
			t.Errorf("%s: publish: %v", name, err)
		}
		w.wantCaptured()
		w.stop()
	}
}

// Nothing on the disk is touched because the metadata does not mention it (S14).
func TestStrangeFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	before := w.control.State()
	w.create(orders())
	w.publish("orders", 0, "a")
	strange := w.folderOf("orders", 0)
	w.stop()
	w.control = at(t, before)
	other := path.Join(dataDir, "partitions", "notes")
	if err := w.disk.MkdirAll(other); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.create(&trestlev1.StreamConfig{Name: "more", Subjects: []string{"more"}})
	w.stop()
	if names := strings.Join(w.names(strange), " "); !strings.Contains(names, "log0") || !strings.Contains(names, "meta.json") {
		t.Errorf("of the folder that the metadata does not know there is left: %s", names)
	}
	if _, err := w.disk.Stat(other); err != nil {
		t.Errorf("the folder that is no partition: %v", err)
	}
	if _, known := w.control.State().Stream("orders"); known {
		t.Error("a folder alone brought a stream back")
	}
	if n := len(w.names(path.Join(dataDir, "partitions"))); n != 4 {
		t.Errorf("%d folders, want __cursors, more and the two strange ones", n)
	}
}

// A log that was led later than the metadata says is not led: the metadata is an old copy, or another cluster's.
func TestOldMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	w.create(orders())
	old := w.control.State()
	for range 4 {
		w.stop()
		w.start()
	}
	w.stop()
	w.control = at(t, old)
	if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), "old copy") {
		t.Errorf("start with old metadata: %v", err)
		if err == nil {
			w.stop()
		}
	}
}

// The metadata of another cluster, or none where there was some, stops the start.
func TestForeignMetadata(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t).start(), newWorld(t).start()
	w.stop()
	other.stop()
	w.control = other.control
	if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), "another folder") {
		t.Errorf("metadata of another cluster: %v", err)
	}
	folder, err := host.OpenFolder(w.disk, dataDir, "b", "", "c")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	if _, err := folder.RaftFolder(); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("metadata that is gone: %v", err)
	}
	if err := folder.CheckRaftID("b@2"); err == nil {
		t.Error("metadata of another raft id is taken")
	}
}

// __cursors is there from the first broker on, listens on nothing, and belongs to the brokers (2.12).
func TestInternalStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	s, err := w.Describe("__cursors")
	if err != nil || s.GetPartitions()[0].GetLeader() != "b" || s.GetPartitions()[0].GetFault() != "" {
		t.Fatalf("%v, %v", s, err)
	}
	w.wantCaptured()
	if _, _, err := w.Create(t.Context(), &trestlev1.StreamConfig{Name: "__mine", Subjects: []string{"x"}}, false); err == nil {
		t.Error("a user made a stream whose name begins with __")
	}
	var internal *host.InternalError
	if _, _, err := w.Publishable("__cursors", 0); !errors.As(err, &internal) {
		t.Errorf("publish: %v", err)
	}
	if err := w.Delete(t.Context(), "__cursors"); err == nil {
		t.Error("a user deleted it")
	}
	if _, err := w.Update(t.Context(), &trestlev1.StreamConfig{Name: "__cursors", RetainBytes: proto.Int64(1)}, 0); err == nil {
		t.Error("a user changed it")
	}
	for glob, want := range map[string]int{"": 0, "*": 0, "__*": 1} {
		if list, err := w.List(glob, "", 10); err != nil || len(list) != want {
			t.Errorf("glob %q: %d streams, %v; want %d", glob, len(list), err, want)
		}
	}
	w.stop()
}
