package host_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// put writes a file and makes it durable.
func put(t *testing.T, disk *vfs.Mem, name, contents string) {
	t.Helper()
	_ = disk.Remove(name)
	file, err := disk.Create(name)
	if err == nil {
		_, err = file.WriteAt([]byte(contents), 0)
	}
	if err == nil {
		err = errors.Join(file.SyncData(), file.Close(), disk.SyncDir(path.Dir(name)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// firstFormat lays out a data folder as the first version left it: streams stand in the folders of their partitions
// alone, and leader epochs were counted by each log.
func firstFormat(w *world, streams map[string]uint64) {
	t, disk := w.t, w.disk
	for _, dir := range []string{"", "partitions"} {
		if err := errors.Join(disk.MkdirAll(path.Join(dataDir, dir)), disk.SyncDir(path.Dir(path.Join(dataDir, dir)))); err != nil {
			t.Fatal(err)
		}
	}
	put(t, disk, path.Join(dataDir, "trestle.json"),
		fmt.Sprintf(`{"format": 1, "storage_uuid": %q, "broker": "b", "cluster": "c"}`, uuid.NewString()))
	for name, epoch := range streams {
		id := uuid.New()
		folder := path.Join(dataDir, "partitions", id.String())
		if err := errors.Join(disk.MkdirAll(folder), disk.SyncDir(path.Dir(folder))); err != nil {
			t.Fatal(err)
		}
		config := &trestlev1.StreamConfig{Name: name, Subjects: []string{"s." + name}, SegmentBytes: proto.Int64(1 << 20)}
		complete, err := metadata.CompleteConfig(config, 1)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := protojson.Marshal(complete)
		if err != nil {
			t.Fatal(err)
		}
		put(t, disk, path.Join(folder, "meta.json"),
			fmt.Sprintf(`{"format": 1, "stream": %q, "stream_uuid": %q, "partition": 0, "config": %s}`, name, uuid.NewString(), encoded))
		fillLog(w, path.Join(folder, "log0"), id, epoch, name)
	}
	unfinished := path.Join(dataDir, "partitions", uuid.NewString())
	if err := errors.Join(disk.MkdirAll(unfinished), disk.SyncDir(path.Dir(unfinished))); err != nil {
		t.Fatal(err)
	}
}

func fillLog(w *world, dir string, id uuid.UUID, epoch uint64, value string) {
	w.t.Helper()
	log, _, err := commitlog.Open(dir, commitlog.Options{Files: commitlog.NewFiles(w.disk, 8), Partition: id})
	if err != nil {
		w.t.Fatal(err)
	}
	records := batch.AppendRecord(nil, &batch.Record{Value: []byte(value)})
	b := batch.Append(nil, &batch.Header{RecordCount: 1, BodyCRC: batch.Checksum(records), Body: batch.BodyRecords}, records)
	_, err = log.Append(epoch, 1, batch.AppendControl(nil, &batch.Control{Kind: batch.ControlEpoch, Epoch: epoch}), b)
	if err == nil {
		_, err = log.Sync()
	}
	if err := errors.Join(err, log.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// Streams of a folder of the first format are taken over with all that they hold, whenever the power goes meanwhile: names,
// UUIDs, configuration, records. Their epochs go on above those in the logs (S4).
func TestAdoptCrashes(t *testing.T) {
	t.Parallel()
	slice := map[string]uint64{"one": 1, "two": 40}
	var ids []string
	crashAt(t,
		func(w *world) {
			firstFormat(w, slice)
			ids = w.names(path.Join(dataDir, "partitions"))
		},
		(*world).tryStart,
		func(w *world, _ bool) {
			for name, epoch := range slice {
				w.want(name, 0, name)
				if got := w.publish(name, 0, "more"); got != 1 {
					w.t.Errorf("stream %s goes on at offset %d, want 1", name, got)
				}
				s, err := w.Describe(name)
				if err != nil || s.GetPartitions()[0].GetLeaderEpoch() <= epoch || s.GetConfig().GetSegmentBytes() != 1<<20 {
					w.t.Errorf("stream %s: %v, %v", name, s, err)
				}
				if !slices.Contains(ids, w.partitionID(name, 0).String()) {
					w.t.Errorf("stream %s has got another partition", name)
				}
			}
			w.wantCaptured("s.one", "s.two")
			w.stop()
			w.start() // and again, without anything to take over
			w.want("one", 0, "one", "more")
		})
}

// Once the metadata has the streams of a folder, the folder's own word counts no more: what is deleted stays so, even if
// somebody takes it out of the trash. And the first version does not open the folder any more.
func TestAdoptOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	firstFormat(w, map[string]uint64{"one": 3})
	w.start()
	id := w.partitionID("one", 0).String()
	if w.folder.Format != 2 || w.folder.RaftID != raftID {
		t.Errorf("the folder: %+v", w.folder.Identity)
	}
	if err := w.Delete(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	w.stop()
	if err := w.disk.Rename(path.Join(dataDir, "trash", id), path.Join(dataDir, "partitions", id)); err != nil {
		t.Fatal(err)
	}
	w.start()
	if _, err := w.Describe("one"); err == nil {
		t.Error("the stream is back")
	}
	w.stop()
}

// What cannot be taken over stops the start, and nothing is lost by it.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(w *world, folder string)
		want   string
	}{
		"damaged meta.json": {
			func(w *world, folder string) { put(w.t, w.disk, path.Join(folder, "meta.json"), "{") }, "damaged",
		},
		"meta.json of a later version": {
			func(w *world, folder string) { put(w.t, w.disk, path.Join(folder, "meta.json"), `{"format": 9}`) }, "format 9",
		},
		"two folders of one stream": {
			func(w *world, _ string) { firstFormat(w, map[string]uint64{"one": 1}) }, "two folders",
		},
	} {
		w := newWorld(t)
		firstFormat(w, map[string]uint64{"one": 1})
		var folder string
		for _, id := range w.names(path.Join(dataDir, "partitions")) {
			if dir := path.Join(dataDir, "partitions", id); len(w.names(dir)) > 0 {
				folder = dir
			}
		}
		test.change(w, folder)
		if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				w.stop()
			}
		}
		if names := w.names(folder); !slices.Contains(names, "log0") {
			t.Errorf("%s: of the folder there is left: %q", name, names)
		}
	}
}
