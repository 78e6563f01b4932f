package rpc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// onePartition is a broker with one partition, whatever it is asked for.
type onePartition struct {
	Streams
	p *partition.Partition
}

func (s *onePartition) PartitionOf(string, int32) (*partition.Partition, error) { return s.p, nil }

// newPartition leads a partition in memory.
func newPartition(t testing.TB) *partition.Partition {
	t.Helper()
	log, _, err := commitlog.Open("/log", commitlog.Options{Files: commitlog.NewFiles(vfs.NewMem(1), 8), Partition: [16]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := partition.Lead(partition.Config{Log: log, Epoch: 1, Now: time.Now, OnFault: func(err error) { t.Errorf("fault: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("closing the partition: %v", err)
		}
	})
	return p
}

// store appends a batch of one record with so many random bytes, and returns them.
func store(t testing.TB, p *partition.Partition, random *rand.ChaCha8, size int) []byte {
	t.Helper()
	value := make([]byte, size)
	_, _ = random.Read(value)
	b := batch.AppendRecord(nil, &batch.Record{Value: value})
	done := make(chan error, 1)
	err := p.Start(partition.Batch{Records: b, Count: 1, Checksum: batch.Checksum(b)}, func(_ partition.Ack, err error) { done <- err })
	if err == nil {
		err = <-done
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// serveLog serves the log service over TCP, and returns a connection of a client with that codec.
func serveLog(t testing.TB, s *logService, c encoding.CodecV2) *grpc.ClientConn {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, served := grpc.NewServer(grpc.ForceServerCodecV2(codec.New())), make(chan error, 1)
	registerLogService(server, s)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(c), grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := conn.Close()
		server.Stop()
		if err := errors.Join(err, <-served); err != nil {
			t.Errorf("ending the server: %v", err)
		}
	})
	return conn
}

// subscribe begins a call of Subscribe.
func subscribe(ctx context.Context, conn *grpc.ClientConn, req *trestlev1.SubscribeRequest) (grpc.ClientStream, error) {
	call, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, trestlev1.LogService_Subscribe_FullMethodName)
	if err == nil {
		err = call.SendMsg(req)
	}
	if err == nil {
		err = call.CloseSend()
	}
	return call, err
}

// counting is a codec whose received messages are numbers: of their bytes. It allocates nothing for what it receives.
type counting struct{ encoding.CodecV2 }

func (c counting) Unmarshal(data mem.BufferSlice, v any) error {
	n, ok := v.(*int)
	if !ok {
		return errors.New("not a number of bytes")
	}
	*n = data.Len()
	return nil
}

// drain receives what the broker sends, from the log start to the end as of now, and says how many bytes that was.
func drain(ctx context.Context, conn *grpc.ClientConn, req *trestlev1.SubscribeRequest) (total int, err error) {
	call, err := subscribe(ctx, conn, req)
	for err == nil {
		var n int
		if err = call.RecvMsg(&n); err == nil {
			total += n
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return total, err
}
