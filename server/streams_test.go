package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/client"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server"
)

// streams is the stream service as it is on the wire.
func (k *kit) streams(t *testing.T) trestlev1.StreamServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(k.Addrs(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return trestlev1.NewStreamServiceClient(conn)
}

func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// A stream's whole life over the wire: made, changed, paused, resumed, deleted, made anew; all of it is there after a
// restart (architecture.md flow 4, 3.13).
func TestStreamLife(t *testing.T) {
	t.Parallel()
	k := start(t)
	ctx, streams := t.Context(), k.streams(t)
	k.create(t, "orders", "orders.*")
	updated, err := streams.UpdateStream(ctx, &trestlev1.UpdateStreamRequest{Config: &trestlev1.StreamConfig{
		Name: "orders", Subjects: []string{"orders.*", "more"},
	}})
	if err != nil || len(updated.GetStream().GetConfig().GetSubjects()) != 2 {
		t.Fatalf("update: %v, %v", updated, err)
	}
	if err := k.nats.Publish("more", []byte("a")); err != nil {
		t.Fatal(err)
	}
	if got := values(read(t, k.client.Stream("orders"), 1, client.FromEarliest())); got[0] != "a" {
		t.Errorf("recorded on the new subject: %q", got)
	}
	_, err = streams.UpdateStream(ctx, &trestlev1.UpdateStreamRequest{
		Config: &trestlev1.StreamConfig{Name: "orders", RetainBytes: proto.Int64(1)}, Revision: updated.GetStream().GetRevision() - 1,
	})
	if reason(err) != "STALE_REVISION" {
		t.Errorf("update of an old revision: %v", err)
	}
	for _, mode := range []trestlev1.Mode{trestlev1.Mode_MODE_PAUSED, trestlev1.Mode_MODE_READ_ONLY} {
		if _, err := streams.SetStreamMode(ctx, &trestlev1.SetStreamModeRequest{Name: "orders", Mode: mode}); err != nil {
			t.Fatal(err)
		}
		if _, err := k.client.Stream("orders").Publish(ctx, []byte("no")); err == nil || !strings.Contains(fmt.Sprintf("%+v", err), "orders") {
			t.Errorf("%v: publish: %v", mode, err)
		}
	}
	k.Brokers[0].Stop()
	k.Brokers[0].Start()
	k.connect(t)
	streams = k.streams(t)
	if got, err := streams.GetStream(ctx, &trestlev1.GetStreamRequest{Name: "orders"}); err != nil ||
		got.GetStream().GetPartitions()[0].GetMode() != trestlev1.Mode_MODE_READ_ONLY || len(got.GetStream().GetConfig().GetSubjects()) != 2 {
		t.Errorf("after a restart: %v, %v", got, err)
	}
	if _, err := streams.DeleteStream(ctx, &trestlev1.DeleteStreamRequest{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	if _, err := streams.GetStream(ctx, &trestlev1.GetStreamRequest{Name: "orders"}); reason(err) != "STREAM_NOT_FOUND" {
		t.Errorf("after it was deleted: %v", err)
	}
	k.create(t, "orders", "orders.*")
	if info, err := k.client.Stream("orders").Info(ctx); err != nil || info.Partitions[0].NextOffset != 0 {
		t.Errorf("made anew: %+v, %v", info, err)
	}
}

// A reader whose stream is deleted is told so, and not that the broker stops.
func TestReaderOfDeletedStream(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.create(t, "orders", "orders")
	sub, err := s.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	if _, err := k.streams(t).DeleteStream(t.Context(), &trestlev1.DeleteStreamRequest{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if m, err := sub.Next(ctx); err == nil || !strings.Contains(err.Error(), "orders") {
		t.Errorf("got %v, %v", m, err)
	}
}

// The metadata of a broker is not made anew when it is gone, and a folder is opened by one process at a time.
func TestMetadataOnDisk(t *testing.T) {
	t.Parallel()
	k := start(t)
	config := server.DefaultConfig()
	config.DataDir = k.Brokers[0].DataDir()
	config.Listen, config.HTTPListen, config.PeerListen, config.NATSListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if _, err := server.Start(t.Context(), config); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second process on the folder: %v", err)
	}
	k.Brokers[0].Stop()
	raft := filepath.Join(config.DataDir, "raft")
	if err := os.Rename(raft, raft+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Start(t.Context(), config); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("without metadata: %v", err)
	}
	if _, err := os.Stat(raft); err == nil {
		t.Error("other metadata was made")
	}
	if err := os.Rename(raft+".away", raft); err != nil {
		t.Fatal(err)
	}
	k.Brokers[0].Start()
}

// Making streams takes milliseconds each, besides some writes to disk, one after the other and many at once. TRESTLE_STREAMS=1000
// makes a thousand. Judged is the quickest of the last ten, by the quickest of ten publishes, which are a write each: a machine
// that is busy with something else lets one of them pass, and a broker to which each costs more than the one before none.
func TestManyStreams(t *testing.T) {
	n := 40
	if _, err := fmt.Sscan(os.Getenv("TRESTLE_STREAMS"), &n); err != nil {
		t.Parallel()
	}
	k := start(t)
	begun := time.Now()
	each := quickest(n, func(i int) { k.create(t, fmt.Sprintf("s%d", i), fmt.Sprintf("s.%d", i)) })
	t.Logf("one after the other: %d streams in %v, the last ones in %v", n, time.Since(begun), each)
	write := quickest(10, func(int) {
		if _, err := k.client.Stream("s0").Publish(t.Context(), []byte("v")); err != nil {
			t.Fatal(err)
		}
	})
	if most := 500*time.Millisecond + 25*write; each > most {
		t.Errorf("each takes %v, want at most %v where a write takes %v", each, most, write)
	}
	begun = time.Now()
	var makers sync.WaitGroup
	for m := range 16 {
		makers.Go(func() {
			for i := m; i < n; i += 16 {
				if _, err := k.client.CreateStream(t.Context(), client.StreamConfig{Name: fmt.Sprintf("p%d", i), Subjects: []string{fmt.Sprintf("p.%d", i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	makers.Wait()
	t.Logf("16 at a time: %d streams in %v", n, time.Since(begun))
	begun = time.Now()
	k.Brokers[0].Stop()
	stopped := time.Now()
	k.Brokers[0].Start()
	t.Logf("with %d streams: stop %v, start %v", 2*n, stopped.Sub(begun), time.Since(stopped))
}

// quickest does something n times and returns how long the quickest of the last ten took.
func quickest(n int, do func(i int)) time.Duration {
	took := make([]time.Duration, n)
	for i := range n {
		begun := time.Now()
		do(i)
		took[i] = time.Since(begun)
	}
	return slices.Min(took[max(0, n-10):])
}
