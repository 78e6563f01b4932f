package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// spoiling is a lender who spoils what comes back before others get it, and counts.
func spoiling(returned *atomic.Int64) lender {
	l := newLender()
	giveBack := l.giveBack
	l.giveBack = func(memory *[]byte) {
		returned.Add(1)
		whole := (*memory)[:cap(*memory)]
		for i := range whole {
			whole[i] = 0xee
		}
		giveBack(memory)
	}
	return l
}

// stored is all batches of a partition, one behind the other, read into memory that nobody shares, and the records' values.
type stored struct {
	batches []byte
	starts  []int // of the batches; the one of that number has one record, at that offset
	values  [][]byte
}

// fill stores batches of one record each, of all sizes.
func fill(t testing.TB, p *partition.Partition, batches, largest int) *stored {
	t.Helper()
	random, sizes := rand.NewChaCha8([32]byte{7}), rand.New(rand.NewPCG(1, 2))
	all := &stored{}
	r, err := p.NewReader(partition.Place{Kind: partition.AtEarliest}, partition.Place{Kind: partition.AtNever}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range batches {
		all.values = append(all.values, store(t, p, random, 1+sizes.IntN(largest)))
		for int(r.NextOffset()) <= i {
			chunk, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.NextOffset() > int64(i) { // behind the control batch that begins the epoch
				all.starts = append(all.starts, len(all.batches))
			}
			all.batches = append(all.batches, chunk.Batches...)
		}
	}
	return all
}

// checkBatches reads batches from an offset on, as many as most bytes, and gives up then.
func (s *stored) checkBatches(ctx context.Context, conn *grpc.ClientConn, from int64, most int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, want := fromStartToEnd(), s.batches
	if from > 0 {
		req.Start, want = &trestlev1.Position{At: &trestlev1.Position_Offset{Offset: from}}, s.batches[s.starts[from]:]
	}
	call, err := subscribe(ctx, conn, req)
	for at := 0; err == nil && at < most; {
		var res codec.SubscribeResponse
		if err = call.RecvMsg(&res); err != nil {
			break
		}
		got := res.Batches
		if left := want[at:]; len(got) > len(left) || !bytes.Equal(got, left[:len(got)]) {
			return fmt.Errorf("from offset %d: %d bytes at byte %d are not what was stored", from, len(got), at)
		}
		at += len(got)
	}
	return ended(err)
}

// checkMessages reads messages.
func (s *stored) checkMessages(ctx context.Context, conn *grpc.ClientConn) error {
	req, next := fromStartToEnd(), 0
	req.View = trestlev1.View_VIEW_MESSAGES
	call, err := subscribe(ctx, conn, req)
	for err == nil {
		var res codec.SubscribeResponse
		if err = call.RecvMsg(&res); err != nil {
			break
		}
		for _, m := range res.Messages {
			if next == len(s.values) || !bytes.Equal(m.GetRecord().GetValue(), s.values[next]) {
				return fmt.Errorf("message %d is not what was stored", next)
			}
			next++
		}
	}
	if err := ended(err); err != nil || next < len(s.values) {
		return fmt.Errorf("%d of %d messages: %w", next, len(s.values), err)
	}
	return nil
}

// checkPages reads pages from an offset on.
func (s *stored) checkPages(ctx context.Context, conn *grpc.ClientConn, from int64, pages int) error {
	for range pages {
		read := fromStartToEnd()
		read.Start = &trestlev1.Position{At: &trestlev1.Position_Offset{Offset: from}}
		var res codec.FetchResponse
		err := conn.Invoke(ctx, trestlev1.LogService_Fetch_FullMethodName, &trestlev1.FetchRequest{Read: read}, &res)
		if err != nil {
			return err
		}
		if got, left := res.Page.Batches, s.batches[s.starts[from]:]; len(got) == 0 || len(got) > len(left) || !bytes.Equal(got, left[:len(got)]) {
			return fmt.Errorf("page from offset %d: %d bytes are not what was stored", from, len(got))
		}
		if from = res.NextOffset; from == int64(len(s.values)) {
			return nil
		}
	}
	return nil
}

// ended is nil for the end of a call.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Memory that is lent to gRPC goes to another reader when nobody reads it any more and no sooner: many readers at once, over
// TCP, each of whom compares every byte, some of whom give up, while what is given back is spoilt.
func TestLentMemoryIsNotReadInto(t *testing.T) {
	t.Parallel()
	const batches, largest, readers, rounds = 80, 200 << 10, 8, 2
	p := newPartition(t)
	all := fill(t, p, batches, largest)
	var returned atomic.Int64
	service := &logService{streams: &onePartition{p: p}, ledger: newLedger(Limits{}), lender: spoiling(&returned), running: t.Context()}
	conns := []*grpc.ClientConn{serveLog(t, service, codec.New()), serveLog(t, service, codec.New())}
	var reading sync.WaitGroup
	for i := range readers {
		reading.Go(func() {
			random := rand.New(rand.NewPCG(3, uint64(i)))
			for range rounds {
				conn, from := conns[random.IntN(len(conns))], random.Int64N(batches)
				var err error
				switch i % 4 {
				case 0:
					err = all.checkBatches(t.Context(), conn, from, len(all.batches))
				case 1:
					err = all.checkBatches(t.Context(), conn, from, random.IntN(2<<20))
				case 2:
					err = all.checkMessages(t.Context(), conn)
				default:
					err = all.checkPages(t.Context(), conn, from, 10)
				}
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
				}
			}
		})
	}
	reading.Wait()
	if err := all.checkBatches(t.Context(), conns[0], 0, len(all.batches)); err != nil {
		t.Errorf("a reader alone: %v", err)
	}
	if n := returned.Load(); n == 0 {
		t.Error("nothing was ever given back")
	}
}
