package client_test

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// errEndAtOnce makes onRead end the call, as if all was well, before the reader is told anything.
var errEndAtOnce = errors.New("end at once")

func (s *fakeServer) subscribe(req *trestlev1.SubscribeRequest, stream grpc.ServerStream) error {
	s.mu.Lock()
	s.subscribed = append(s.subscribed, req)
	onRead, logs, silent := s.onRead, s.logs[req.GetStream()], s.silent
	s.countReads(1)
	s.mu.Unlock()
	defer s.with(func() { s.countReads(-1) })
	if onRead != nil {
		if err := onRead(req); errors.Is(err, errEndAtOnce) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if int(req.GetPartition()) >= len(logs) {
		return answer(codes.NotFound, "PARTITION_NOT_FOUND", "no such partition", nil)
	}
	log := logs[req.GetPartition()]
	r := fakeRead{server: s, log: log, stream: stream, request: req, first: log.offsetOf(req.GetStart(), false), end: math.MaxInt64}
	if req.GetStop() != nil {
		r.end = log.offsetOf(req.GetStop(), true)
	}
	if logStart, next := log.bounds(); r.first < logStart || r.first > next {
		return answer(codes.OutOfRange, "OFFSET_GONE", "offset is outside the log", nil)
	}
	if err := r.send(nil); err != nil {
		return err
	}
	if silent {
		return <-s.endReads
	}
	if req.GetBackwards() {
		return r.backwards()
	}
	return r.forwards()
}

// countReads is called with mu held.
func (s *fakeServer) countReads(change int) {
	s.reads += change
	close(s.readsMoved)
	s.readsMoved = make(chan struct{})
}

// awaitReads waits until so many subscriptions are served.
func (s *fakeServer) awaitReads(t *testing.T, want int) {
	t.Helper()
	ctx := within(t)
	for {
		s.mu.Lock()
		reads, moved := s.reads, s.readsMoved
		s.mu.Unlock()
		if reads == want {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			t.Fatalf("%d subscriptions are served, want %d", reads, want)
		}
	}
}

// requests are those of Subscribe so far.
func (s *fakeServer) requests() []*trestlev1.SubscribeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.subscribed)
}

// fakeRead is one call of Subscribe.
type fakeRead struct {
	server     *fakeServer
	log        *fakeLog
	stream     grpc.ServerStream
	request    *trestlev1.SubscribeRequest
	first, end int64
}

func (r *fakeRead) forwards() error {
	index := 0
	for {
		out, next, grown, err := r.log.from(index, r.first, r.end)
		if err != nil {
			return err
		}
		index = next
		if err := r.sendAll(out); err != nil {
			return err
		}
		if _, end := r.log.bounds(); end >= r.end && !r.server.endless {
			return nil
		}
		select {
		case <-grown:
		case err := <-r.server.endReads:
			return err
		case <-r.stream.Context().Done():
			return r.stream.Context().Err()
		}
	}
}

func (r *fakeRead) backwards() error {
	logStart, _ := r.log.bounds()
	if r.request.GetStop() != nil {
		logStart = max(logStart, r.end+1)
	}
	out, _, _, err := r.log.from(0, logStart, r.first+1)
	if err != nil {
		return err
	}
	slices.Reverse(out)
	return r.sendAll(out)
}

// sendAll sends batches by as many as go into a response.
func (r *fakeRead) sendAll(batches []storedBatch) error {
	limit := r.server.responseBytes
	if limit == 0 {
		limit = int(r.request.GetMaxResponseBytes())
	}
	var response []byte
	for _, b := range batches {
		if len(b.bytes) > int(r.request.GetMaxResponseBytes()) {
			if err := r.send(response); err != nil {
				return err
			}
			return answer(codes.ResourceExhausted, "TOO_LARGE", "batch is larger than the response may be", map[string]string{
				"offset": strconv.FormatInt(b.BaseOffset, 10), "bytes": strconv.Itoa(len(b.bytes)),
			})
		}
		if len(response) > 0 && len(response)+len(b.bytes) > limit {
			if err := r.send(response); err != nil {
				return err
			}
			response = nil
		}
		if response == nil {
			response = make([]byte, 0, limit)
		}
		response = append(response, b.bytes...)
	}
	if response == nil {
		return nil
	}
	return r.send(response)
}

func (r *fakeRead) send(batches []byte) error {
	logStart, next := r.log.bounds()
	r.server.with(func() { r.server.sentBytes += len(batches) })
	return r.stream.SendMsg(&codec.SubscribeResponse{Batches: batches, HighWatermark: next, LogStart: logStart})
}
