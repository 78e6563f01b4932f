package rpc_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func TestServerInfo(t *testing.T) {
	t.Parallel()
	k := start(t)
	info, err := k.server.GetServerInfo(t.Context(), &trestlev1.GetServerInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ready := k.Brokers[0].Ready()
	if info.GetId() != ready.ID || info.GetGrpcAddress() != ready.GRPC || info.GetNatsUrl() != ready.NATS || info.GetCluster() != "trestle" ||
		len(info.GetClusterUuid()) != 36 || info.GetVersion() == "" || info.GetMetadataRevision() == 0 {
		t.Errorf("got %v", info)
	}
	if b := info.GetBrokers(); len(b) != 1 || b[0].GetName() != ready.ID || b[0].GetAddress() != ready.GRPC || !b[0].GetLive() {
		t.Errorf("brokers: got %v", b)
	}
	limits := info.GetLimits()
	if limits.GetStreamWindowBytes() != 4<<20 || limits.GetInFlightBytes() != 256<<20 || limits.GetMessageBytes() < 1<<20 || limits.GetReaders() == 0 {
		t.Errorf("limits: got %v", limits)
	}
	health, err := healthpb.NewHealthClient(k.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "trestle.v1.CursorService"})
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: got %v, %v", health, err)
	}
}

// routes is what a client makes of a watch.
type routes struct {
	streams  map[string]*trestlev1.StreamRoute
	revision uint64
}

// follow takes in responses until done says so.
func (r *routes) follow(t *testing.T, watch trestlev1.ServerService_WatchMetadataClient, done func() bool) {
	t.Helper()
	for !done() {
		res, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if res.GetFromScratch() {
			r.streams = map[string]*trestlev1.StreamRoute{}
		}
		for _, uuid := range res.GetRemovedStreams() {
			delete(r.streams, uuid)
		}
		for _, s := range res.GetStreams() {
			r.streams[s.GetUuid()] = s
		}
		if res.GetRevision() != 0 {
			r.revision = res.GetRevision()
		}
	}
}

func (r *routes) names() (names []string) {
	for _, s := range r.streams {
		names = append(names, s.GetName())
	}
	slices.Sort(names)
	return names
}

// A client that follows the responses knows who leads what, and one that comes back with the revision that it knows is told
// only what is new.
func TestWatchMetadata(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "first")
	watch := func(revision uint64) trestlev1.ServerService_WatchMetadataClient {
		w, err := k.server.WatchMetadata(t.Context(), &trestlev1.WatchMetadataRequest{Revision: revision})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	known := &routes{}
	w := watch(0)
	known.follow(t, w, func() bool { return known.revision != 0 })
	same(t, "streams", []string{"__cursors", "first"}, known.names())
	made := k.create(t, "second", func(c *trestlev1.StreamConfig) { c.Partitions = proto.Int32(3) })
	known.follow(t, w, func() bool { return known.streams[made.GetUuid()] != nil })
	for i, p := range known.streams[made.GetUuid()].GetPartitions() {
		if want := made.GetPartitions()[i]; p.GetLeader() != want.GetLeader() || p.GetLeaderEpoch() != want.GetLeaderEpoch() {
			t.Errorf("partition %d: got %v, want %v", i, p, want)
		}
	}
	if _, err := k.streams.DeleteStream(t.Context(), &trestlev1.DeleteStreamRequest{Name: "first"}); err != nil {
		t.Fatal(err)
	}
	known.follow(t, w, func() bool { return len(known.names()) == 2 })
	same(t, "after the deletion", []string{"__cursors", "second"}, known.names())

	info, err := k.server.GetServerInfo(t.Context(), &trestlev1.GetServerInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	again := watch(info.GetMetadataRevision())
	third := k.create(t, "third")
	res, err := again.Recv()
	if err != nil || res.GetFromScratch() || len(res.GetStreams()) != 1 || res.GetStreams()[0].GetUuid() != third.GetUuid() {
		t.Errorf("with what is known: got %v, %v", res, err)
	}
	go k.Brokers[0].Stop()
	for err == nil {
		_, err = again.Recv()
	}
	refused(t, "stop", err, codes.Unavailable, "SHUTTING_DOWN")
}

// Readers end with a reason when their stream is deleted, and when the broker stops.
func TestReadersEnd(t *testing.T) {
	t.Parallel()
	k := start(t)
	subscribe := func(name string) trestlev1.LogService_SubscribeClient {
		stream, err := k.log.Subscribe(t.Context(), &trestlev1.SubscribeRequest{Stream: name})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	k.create(t, "gone")
	k.create(t, "stays")
	gone, stays := subscribe("gone"), subscribe("stays")
	if _, err := k.streams.DeleteStream(t.Context(), &trestlev1.DeleteStreamRequest{Name: "gone"}); err != nil {
		t.Fatal(err)
	}
	ending := func(stream trestlev1.LogService_SubscribeClient) error {
		for {
			if _, err := stream.Recv(); err != nil { // control batches may come before
				return err
			}
		}
	}
	refused(t, "deleted", ending(gone), codes.NotFound, "STREAM_NOT_FOUND")
	go k.Brokers[0].Stop()
	refused(t, "stopped", ending(stays), codes.Unavailable, "SHUTTING_DOWN")
}

// A call whose time is over before it begins is a no, and one that waits ends in time.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	stream, err := k.log.Subscribe(ctx, &trestlev1.SubscribeRequest{Stream: "s"})
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("ended otherwise: %v", err)
	}
	<-ctx.Done() // the broker was told, too, and may be the first to say so
	if _, err := k.log.Publish(ctx, request("s", "v")); err == nil {
		t.Error("stored after its time")
	}
	if got := k.publish(t, "s", "v").GetBaseOffset(); got != 0 {
		t.Errorf("offset %d: something was stored after its time", got)
	}
}
