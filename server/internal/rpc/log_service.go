package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// logService moves batches as they are: its requests and responses are the hand-made types of proto/codec, which hold
// the bytes that generated code would decode.
type logService struct {
	streams   Streams
	producers Producers
	cursors   *cursorService
	ledger    *ledger
	lender    lender
	spread    spread
	running   context.Context // ends when the broker stops
	receiving sync.WaitGroup  // of publish streams: ends after their calls have
	// waitedFor is how long a batch of a publish stream was waited for, at least, if it is to be seen through; 0: none is.
	waitedFor time.Duration
}

// reading is a reader of a partition on behalf of a call.
type reading struct {
	*partition.Reader
	partition *partition.Partition
	ctx       context.Context // ends with the call, and when the broker stops
	end       func()          // to be called
}

// read begins to read what the request asks for.
func (s *logService) read(ctx context.Context, req *trestlev1.SubscribeRequest, change func(*partition.ReadOptions)) (*reading, error) {
	if err := checkRead(req); err != nil {
		return nil, err
	}
	done, err := s.ledger.admitReader(int(req.GetMaxResponseBytes()))
	if err != nil {
		return nil, err
	}
	r, err := s.admitted(ctx, req, change)
	if err != nil {
		done()
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.running, func() { cancel(context.Cause(s.running)) })
	r.ctx, r.end = ctx, func() { stop(); cancel(nil); r.Release(); done() }
	return r, nil
}

// admitted is read for a reader that is counted.
func (s *logService) admitted(ctx context.Context, req *trestlev1.SubscribeRequest, change func(*partition.ReadOptions)) (*reading, error) {
	p, err := s.streams.PartitionOf(req.GetStream(), req.GetPartition())
	if err != nil {
		return nil, err
	}
	options, err := s.readOptions(ctx, req)
	if err != nil {
		return nil, err
	}
	options.Buffers = s.lender.buffers
	if change != nil {
		change(&options)
	}
	reader, err := p.Read(options)
	if err != nil {
		return nil, s.whyEnded(&destination{req.GetStream(), req.GetPartition(), p}, err)
	}
	return &reading{Reader: reader, partition: p}, nil
}

// Subscribe sends records from the start to the stop position. The first response is empty.
func (s *logService) Subscribe(req *trestlev1.SubscribeRequest, stream grpc.ServerStream) error {
	if err := refuseUnknown(req); err != nil {
		return toStatus(err)
	}
	r, err := s.read(stream.Context(), req, nil)
	if err != nil {
		return toStatus(err)
	}
	defer r.end()
	state := r.partition.State()
	if err := stream.SendMsg(&codec.SubscribeResponse{HighWatermark: state.HighWatermark, LogStart: state.LogStart}); err != nil {
		return err
	}
	for {
		chunk, err := r.Next(r.ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return toStatus(s.whyEnded(&destination{req.GetStream(), req.GetPartition(), r.partition}, err))
		}
		memory := s.lender.lend(chunk.Batches, r.Give())
		err = send(stream, req, &chunk, memory)
		memory.Free()
		if err != nil {
			return err
		}
	}
}

// send sends a chunk, which lies in memory, as batches, or as messages in as many responses as they need.
func send(stream grpc.ServerStream, req *trestlev1.SubscribeRequest, chunk *partition.Chunk, memory mem.Buffer) error {
	if req.GetView() != trestlev1.View_VIEW_MESSAGES {
		return stream.SendMsg(&codec.SubscribeResponse{Batches: chunk.Batches, Memory: memory, HighWatermark: chunk.HighWatermark, LogStart: chunk.LogStart})
	}
	m := messages{batches: chunk.Batches, backwards: req.GetBackwards()}
	for {
		page, err := m.page(responseBytes(req), 0)
		if err != nil {
			return toStatus(fmt.Errorf("making messages of batches: %w", err))
		}
		if len(page) == 0 {
			return nil
		}
		if err := stream.SendMsg(&codec.SubscribeResponse{Messages: page, HighWatermark: chunk.HighWatermark, LogStart: chunk.LogStart}); err != nil {
			return err
		}
	}
}

// responseBytes is about how large a response is to be at most.
func responseBytes(req *trestlev1.SubscribeRequest) int {
	if n := int(req.GetMaxResponseBytes()); n > 0 {
		return n
	}
	return partition.DefaultChunk
}
