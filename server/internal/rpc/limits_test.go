package rpc

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/trestlehq/trestle/metadata"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
)

// serveLimited serves a broker without streams and returns a connection to it.
func serveLimited(t *testing.T, limits Limits) *grpc.ClientConn {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(listener, Config{Streams: &noStreams{}, Metadata: metadata.NewMachine(), Limits: limits, Logger: slog.New(slog.DiscardHandler)})
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(conn.Close(), s.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// A Publish beyond the limit is refused by its headers: the requests of those that count are not there yet. One that ends
// makes room.
func TestPublishesAreCountedBeforeTheyArrive(t *testing.T) {
	t.Parallel()
	conn := serveLimited(t, Limits{Publishes: 2})
	open := func() (grpc.ClientStream, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		call, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, trestlev1.LogService_Publish_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		return call, cancel
	}
	_, endFirst := open()
	defer endFirst()
	_, endSecond := open()
	defer endSecond()
	publish := func() error {
		_, err := trestlev1.NewLogServiceClient(conn).Publish(t.Context(), &trestlev1.PublishRequest{Partition: new(int32)})
		return err
	}
	err := publish()
	if st := status.Convert(err); st.Code() != codes.ResourceExhausted || len(st.Details()) == 0 || !strings.Contains(st.Message(), "2 Publish calls") {
		t.Errorf("beyond the limit: %v", err)
	}
	endFirst()
	for status.Code(err) == codes.ResourceExhausted && t.Context().Err() == nil { // until the broker hears of the end
		err = publish()
	}
	if status.Code(err) != codes.NotFound {
		t.Errorf("with room again: %v", err)
	}
	if _, err := newLedger(Limits{Publishes: 1}).tapPublish(t.Context(), &tap.Info{FullMethodName: "/another/Method"}); err != nil {
		t.Errorf("another method: %v", err)
	}
}

// A WatchMetadata beyond the limit is refused with a reason; one that ends makes room.
func TestWatchersAreLimited(t *testing.T) {
	t.Parallel()
	server := trestlev1.NewServerServiceClient(serveLimited(t, Limits{Watchers: 1}))
	watch := func(ctx context.Context) error {
		w, err := server.WatchMetadata(ctx, &trestlev1.WatchMetadataRequest{})
		if err == nil {
			_, err = w.Recv()
		}
		return err
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	if err := watch(ctx); err != nil {
		t.Fatal(err)
	}
	err := watch(t.Context())
	if st := status.Convert(err); st.Code() != codes.ResourceExhausted || len(st.Details()) == 0 || !strings.Contains(st.Message(), "1 watchers of the metadata") {
		t.Errorf("beyond the limit: %v", err)
	}
	end()
	for status.Code(err) == codes.ResourceExhausted && t.Context().Err() == nil { // until the broker hears of the end
		err = watch(t.Context())
	}
	if err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A request is no larger than twice the largest message that a stream can be made for.
func TestLargestRequest(t *testing.T) {
	t.Parallel()
	conn := serveLimited(t, Limits{})
	for size, code := range map[int]codes.Code{host.MaxMessageBytes: codes.NotFound, maxRequestBytes: codes.ResourceExhausted} {
		_, err := trestlev1.NewLogServiceClient(conn).Publish(t.Context(), &trestlev1.PublishRequest{
			Stream: "s", Partition: new(int32),
			Records: &trestlev1.Records{Records: []*trestlev1.Record{{Value: make([]byte, size)}}},
		})
		if status.Code(err) != code {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// Connections beyond the limit are closed, once told of in the log, until one of the others closes.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	all, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	limited := limitConnections(all, 1, slog.New(slog.NewTextHandler(&log, nil)))
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := limited.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", all.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	defer dial().Close()
	first := <-accepted
	for range 2 {
		beyond := dial()
		if _, err := beyond.Read(make([]byte, 1)); err == nil {
			t.Error("a connection beyond the limit is served")
		}
		_ = beyond.Close()
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	_ = first.Close() // and makes room only once
	defer dial().Close()
	second := <-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("there is room for two")
	}
	if err := errors.Join(second.Close(), limited.Close()); err != nil {
		t.Error(err)
	}
	<-accepted
	if n := strings.Count(log.String(), "refused"); n != 2 { // once for each time that there was no room
		t.Errorf("the log tells %d times: %s", n, log.String())
	}
}
