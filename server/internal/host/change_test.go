package host_test

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/metadata"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
)

// trashed are the folders in the trash.
func (w *world) trashed() []string {
	if _, err := w.disk.Stat(path.Join(dataDir, "trash")); err != nil {
		return nil
	}
	return w.names(path.Join(dataDir, "trash"))
}

// Deleting frees the name at once and moves the data to the trash under the partition's UUID (C9, interfaces.md 2).
func TestDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	w.create(orders())
	w.publish("orders", 0, "old")
	id := w.partitionID("orders", 0).String()
	if err := w.Delete(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if got := w.trashed(); !slices.Equal(got, []string{id}) {
		t.Errorf("trash: %q, want %s", got, id)
	}
	w.wantCaptured()
	w.create(orders())
	w.publish("orders", 0, "new")
	w.want("orders", 0, "new")
	w.stop()
	w.start()
	w.want("orders", 0, "new")
	if err := w.Delete(t.Context(), "nope"); !errors.Is(err, host.ErrStreamNotFound) {
		t.Errorf("deleting what is not there: %v", err)
	}
	w.stop()
}

// Whenever the power goes while a stream is deleted, its data are somewhere: in their place as long as the metadata has the
// stream, or in the trash. No deletion is forgotten or done twice.
func TestDeleteCrashes(t *testing.T) {
	t.Parallel()
	id := ""
	crashAt(t,
		func(w *world) {
			w.start()
			w.create(orders())
			w.publish("orders", 0, "a")
			id = w.partitionID("orders", 0).String()
		},
		func(w *world) error { return w.Delete(w.t.Context(), "orders") },
		func(w *world, done bool) {
			if _, known := w.control.State().Stream("orders"); known {
				if done {
					w.t.Error("the stream is back")
				}
				w.want("orders", 0, "a")
				return
			}
			if got := w.trashed(); !slices.Equal(got, []string{id}) {
				w.t.Errorf("trash: %q, want %s", got, id)
			}
			if slices.Contains(w.names(path.Join(dataDir, "partitions")), id) {
				w.t.Error("the folder is still in its place")
			}
			for d := range w.control.State().Deleted("b") {
				w.t.Errorf("not acknowledged: %v", d)
			}
			w.create(orders())
			w.want("orders", 0)
		})
}

// A pause ends the capture and refuses publishes until it ends; a read-only stream is read to its end. Both outlive a
// restart (2.10).
func TestModes(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	w.create(orders())
	w.publish("orders", 0, "a")
	for mode, readOnly := range map[trestlev1.Mode]bool{trestlev1.Mode_MODE_PAUSED: false, trestlev1.Mode_MODE_READ_ONLY: true} {
		s, err := w.SetMode(t.Context(), "orders", mode, nil)
		if err != nil || s.GetPartitions()[0].GetMode() != mode {
			t.Fatalf("%v: %v, %v", mode, s, err)
		}
		for range 2 {
			w.wantCaptured()
			var refused *host.ModeError
			if _, _, err := w.Publishable("orders", 0); !errors.As(err, &refused) || refused.ReadOnly != readOnly {
				t.Errorf("%v: publish: %v", mode, err)
			}
			w.want("orders", 0, "a")
			w.stop()
			w.start()
		}
		if _, err := w.SetMode(t.Context(), "orders", trestlev1.Mode_MODE_ACTIVE, nil); err != nil {
			t.Fatal(err)
		}
		w.wantCaptured("orders")
		if _, _, err := w.Publishable("orders", 0); err != nil {
			t.Errorf("%v is over: publish: %v", mode, err)
		}
		s, err = w.Describe("orders")
		if err != nil || s.GetPartitions()[0].GetLastGap().GetCause() != trestlev1.GapCause_GAP_CAUSE_PAUSED {
			t.Errorf("%v is over: %v, %v; want its gap", mode, s, err)
		}
	}
	if _, err := w.SetMode(t.Context(), "orders", trestlev1.Mode_MODE_PAUSED, []int32{7}); err == nil {
		t.Error("a partition that is not there was paused")
	}
	w.stop()
}

// Partition N listens on the subjects extended by .N (2.3). An update changes what is listened on, adds partitions and is
// refused for another revision than the one that is.
func TestUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	config := orders()
	config.Partitions = proto.Int32(2)
	s := w.create(config)
	w.wantCaptured("orders", "orders.1")
	w.publish("orders", 1, "one")

	updated, err := w.Update(t.Context(), &trestlev1.StreamConfig{
		Name: "orders", Subjects: []string{"orders", "more"}, Partitions: proto.Int32(3), RetainBytes: proto.Int64(1 << 30),
	}, s.GetRevision())
	if err != nil {
		t.Fatal(err)
	}
	w.wantCaptured("more", "more.1", "more.2", "orders", "orders.1", "orders.2")
	if len(updated.GetPartitions()) != 3 || updated.GetRevision() <= s.GetRevision() || updated.GetConfig().GetRetainBytes() != 1<<30 {
		t.Errorf("updated: %v", updated)
	}
	w.publish("orders", 2, "two")

	var refusal *metadata.Refusal
	_, err = w.Update(t.Context(), &trestlev1.StreamConfig{Name: "orders", RetainBytes: proto.Int64(1)}, s.GetRevision())
	if !errors.As(err, &refusal) || refusal.Reason != metadata.ReasonStaleRevision {
		t.Errorf("with an old revision: %v", err)
	}
	if _, err := w.Update(t.Context(), &trestlev1.StreamConfig{Name: "orders", Subjects: []string{"more"}}, 0); err != nil {
		t.Error(err)
	}
	w.wantCaptured("more", "more.1", "more.2")
	w.stop()
	w.start()
	w.wantCaptured("more", "more.1", "more.2")
	w.want("orders", 1, "one")
	w.want("orders", 2, "two")
	w.stop()
}

// What this version cannot do is refused by its name and leaves nothing behind.
func TestNotBuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	for name, change := range map[string]func(*trestlev1.StreamConfig){
		"replicas":          func(c *trestlev1.StreamConfig) { c.Replicas = proto.Int32(3) },
		"storage":           func(c *trestlev1.StreamConfig) { c.Storage = trestlev1.Storage_STORAGE_MEMORY },
		"key_hash":          func(c *trestlev1.StreamConfig) { c.KeyHash = trestlev1.KeyHash_KEY_HASH_CRC32 },
		"max_message_bytes": func(c *trestlev1.StreamConfig) { c.MaxMessageBytes = proto.Int64(9 << 20) },
		"compression":       func(c *trestlev1.StreamConfig) { c.Compression = trestlev1.Codec_CODEC_ZSTD },
	} {
		config := orders()
		change(config)
		var refused *host.UnimplementedError
		if _, _, err := w.Create(t.Context(), config, false); !errors.As(err, &refused) || !strings.HasPrefix(refused.Feature, name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Update(t.Context(), config, 0); !errors.As(err, &refused) {
			t.Errorf("update with %s: %v", name, err)
		}
	}
	if n := len(w.names(path.Join(dataDir, "partitions"))); n != 1 {
		t.Errorf("%d folders, want that of __cursors", n)
	}
	w.stop()
}

// Streams are listed in the order of their names, page by page, without those of the brokers.
func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	for _, name := range []string{"b", "a", "c1", "c2", "Z"} {
		w.create(&trestlev1.StreamConfig{Name: name, Subjects: []string{"s." + name}})
	}
	var got []string
	for after := ""; ; {
		page, err := w.List("", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page {
			got = append(got, s.GetConfig().GetName())
		}
		if len(page) < 2 {
			break
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, []string{"Z", "a", "b", "c1", "c2"}) {
		t.Errorf("got %q", got)
	}
	if page, err := w.List("c?", "c1", 9); err != nil || len(page) != 1 || page[0].GetConfig().GetName() != "c2" {
		t.Errorf("got %v, %v", page, err)
	}
	if _, err := w.List("[", "", 9); err == nil {
		t.Error("a pattern without its end is taken")
	}
	w.stop()
}
