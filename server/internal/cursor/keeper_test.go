package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// rig is a keeper on a partition in memory and the metadata of one broker.
type rig struct {
	*cursor.Keeper
	disk    *vfs.Mem
	machine *metadata.Machine
	index   uint64
	leads   atomic.Pointer[partition.Partition]
	epoch   uint64
}

var errNotHere = errors.New("another broker leads it")

func newRig(t *testing.T, limit int) *rig {
	t.Helper()
	r := &rig{disk: vfs.NewMem(1), machine: metadata.NewMachine(), epoch: 1}
	r.apply(t, &clusterv1.Command{Command: &clusterv1.Command_InitCluster{InitCluster: &clusterv1.InitCluster{
		Uuid: newID(), Secret: append(newID(), newID()...), Name: "c",
	}}})
	r.apply(t, &clusterv1.Command{Command: &clusterv1.Command_RegisterBroker{RegisterBroker: &clusterv1.RegisterBroker{
		Name: "b", Incarnation: newID(), Storage: newID(), RaftId: "r", ClientAddress: "127.0.0.1:1", PeerAddress: "127.0.0.1:2",
		MinFeatureLevel: 1, MaxFeatureLevel: 1,
	}}})
	r.lead(t)
	r.Keeper = cursor.Open(cursor.Config{
		Metadata: r.machine, MaxCursors: limit, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Partition: func() (*partition.Partition, error) {
			if p := r.leads.Load(); p != nil {
				return p, nil
			}
			return nil, errNotHere
		},
	})
	t.Cleanup(func() {
		r.Close()
		r.rest(t)
	})
	return r
}

func newID() []byte { id := uuid.New(); return id[:] }

func (r *rig) apply(t *testing.T, c *clusterv1.Command) {
	t.Helper()
	r.index++
	encoded, err := metadata.EncodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	result, err := metadata.DecodeResult(r.machine.Apply(r.index, encoded))
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a stream in the metadata.
func (r *rig) create(t *testing.T, name string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	r.apply(t, &clusterv1.Command{Command: &clusterv1.Command_CreateStream{CreateStream: &clusterv1.CreateStream{
		Uuid: id[:], Config: &trestlev1.StreamConfig{Name: name, Subjects: []string{name}}, Partitions: []*clusterv1.NewPartition{{Uuid: newID()}},
	}}})
	return id
}

func (r *rig) delete(t *testing.T, id uuid.UUID) {
	t.Helper()
	r.apply(t, &clusterv1.Command{Command: &clusterv1.Command_DeleteStream{DeleteStream: &clusterv1.DeleteStream{Uuid: id[:]}}})
}

// lead takes up the leadership of the log.
func (r *rig) lead(t *testing.T) {
	t.Helper()
	log, _, err := commitlog.Open("/log", commitlog.Options{Files: commitlog.NewFiles(r.disk, 8), Partition: [16]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	r.epoch++
	p, err := partition.Lead(partition.Config{Log: log, Epoch: r.epoch, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	r.leads.Store(p)
}

// rest gives the leadership up.
func (r *rig) rest(t *testing.T) {
	t.Helper()
	if p := r.leads.Swap(nil); p != nil {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (r *rig) set(t *testing.T, stream uuid.UUID, id string, offset int64) {
	t.Helper()
	if _, err := r.Set(t.Context(), cursor.Key{Stream: stream, ID: id}, cursor.Position{NextOffset: offset, LeaderEpoch: 7}); err != nil {
		t.Fatal(err)
	}
}

// What is known comes out of the log, in every leadership anew; without one there is no answer.
func TestKeeperFollowsTheLeadership(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	stream := r.create(t, "s")
	for round := range 3 {
		for i := range 100 {
			r.set(t, stream, fmt.Sprint(i%10), int64(1000*round+i))
		}
		r.rest(t)
		if _, _, err := r.Get(t.Context(), cursor.Key{Stream: stream, ID: "3"}); !errors.Is(err, errNotHere) {
			t.Errorf("without leadership: got %v", err)
		}
		r.lead(t)
		at, ok, err := r.Get(t.Context(), cursor.Key{Stream: stream, ID: "3"})
		if err != nil || !ok || at.NextOffset != int64(1000*round+93) || at.LeaderEpoch != 7 || at.Time == 0 {
			t.Errorf("round %d: got %+v, %v, %v", round, at, ok, err)
		}
	}
	if list, err := r.List(t.Context(), stream, cursor.Key{}, 1000); err != nil || len(list) != 10 {
		t.Errorf("got %v, %v, want 10", list, err)
	}
}

// A broker whose metadata is behind does not take a stream that it has not heard of for one that was deleted.
func TestKeeperWithMetadataBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	stream, gone := r.create(t, "s"), r.create(t, "gone")
	r.set(t, stream, "c", 5)
	r.set(t, gone, "c", 5)
	r.delete(t, gone)
	r.awaitForgotten(t, gone)

	behind := metadata.NewMachine()
	r.Close()
	r.Keeper = cursor.Open(cursor.Config{
		Metadata: behind, Logger: slog.New(slog.DiscardHandler),
		Partition: func() (*partition.Partition, error) { return r.leads.Load(), nil },
	})
	before := r.leads.Load().State().NextOffset
	if _, ok, err := r.Get(t.Context(), cursor.Key{Stream: stream, ID: "c"}); err != nil || !ok {
		t.Errorf("got %v, %v", ok, err)
	}
	if err := r.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := r.leads.Load().State().NextOffset; after != before {
		t.Errorf("%d tombstones were stored", after-before)
	}
}

// awaitForgotten waits until the stream has no cursors, as people do: by looking.
func (r *rig) awaitForgotten(t *testing.T, stream uuid.UUID) {
	t.Helper()
	for {
		list, err := r.List(t.Context(), stream, cursor.Key{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return
		}
	}
}

func TestKeeperLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	stream, other := r.create(t, "s"), r.create(t, "o")
	r.set(t, stream, "a", 1)
	r.set(t, other, "a", 1)
	r.set(t, stream, "a", 2) // is there
	var limit *cursor.LimitError
	if _, err := r.Set(t.Context(), cursor.Key{Stream: stream, ID: "b"}, cursor.Position{}); !errors.As(err, &limit) {
		t.Errorf("got %v", err)
	}
	if err := r.Delete(t.Context(), cursor.Key{Stream: stream, ID: "a"}); err != nil {
		t.Fatal(err)
	}
	r.set(t, stream, "b", 1)
	r.delete(t, other)
	r.awaitForgotten(t, other)
	r.set(t, stream, "c", 1)
}

// A call whose time is over does not wait for its turn.
func TestKeeperGivesUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	stream := r.create(t, "s")
	r.set(t, stream, "c", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // both branches of the select are ready in some
		if _, _, err := r.Get(ctx, cursor.Key{Stream: stream, ID: "c"}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if at, ok, err := r.Get(t.Context(), cursor.Key{Stream: stream, ID: "c"}); err != nil || !ok || at.NextOffset != 1 {
		t.Errorf("got %+v, %v, %v", at, ok, err)
	}
}
