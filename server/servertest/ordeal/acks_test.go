package ordeal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

const (
	// schedules are the standing calls over which messages are published, and connections those that carry them. A call has 4 MiB
	// in flight at most, which is about 6,000 messages.
	schedules, connections = 64, 4
	// scheduleTick is how often a schedule looks at what is due.
	scheduleTick = time.Millisecond
	// lastAcks is how long acks may take once the last message is sent.
	lastAcks = 2 * time.Minute
)

// scheduled publishes to partitions in turn, each message a batch of its own with an ack of its own, at times that are fixed
// before and do not wait for acks. A wait is from that time until the ack is there: it counts what the publisher was late, too.
type scheduled struct {
	begun      time.Time
	rate       float64 // messages a second, of all partitions together
	total      int
	partitions int
	records    []byte
}

// acked is what became of scheduled messages.
type acked struct {
	waits []time.Duration // sorted
	late  time.Duration   // the most that a message was sent after its time
	took  time.Duration   // until the last ack
}

func (a *acked) at(part float64) time.Duration {
	return a.waits[int(part*float64(len(a.waits)-1))].Round(10 * time.Microsecond)
}

// publishScheduled publishes for a time and returns how long each message waited for its ack.
func (b *broker) publishScheduled(ctx context.Context, partitions int, rate float64, lasting time.Duration) (*acked, error) {
	plan := &scheduled{
		rate: rate, total: int(lasting.Seconds() * rate), partitions: partitions,
		records: batch.AppendRecord(nil, &batch.Record{Value: make([]byte, payloadBytes)}),
	}
	ctx, cancel := context.WithTimeout(ctx, lasting+lastAcks)
	defer cancel()
	var calls []grpc.ClientStream
	for range connections {
		conn, err := grpc.NewClient(b.server.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New())))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		for range schedules / connections {
			call, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, trestlev1.LogService_PublishStream_FullMethodName)
			if err != nil {
				return nil, err
			}
			calls = append(calls, call)
		}
	}
	waits, late, faults := make([][]time.Duration, len(calls)), make([]time.Duration, len(calls)), make([]error, 2*len(calls))
	plan.begun = time.Now()
	var busy sync.WaitGroup
	for i, call := range calls {
		busy.Go(func() { late[i], faults[2*i] = plan.send(ctx, call, i) })
		busy.Go(func() { waits[i], faults[2*i+1] = plan.receive(call, i) })
	}
	busy.Wait()
	done := &acked{waits: slices.Concat(waits...), late: slices.Max(late), took: time.Since(plan.begun)}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("%d of %d messages acknowledged: %w", len(done.waits), plan.total, err)
	}
	slices.Sort(done.waits)
	return done, nil
}

// number is the nth message, from 0, of a call, among all: a partition is always published to over the same call.
func (s *scheduled) number(call, n int) int {
	each := (s.partitions - call + schedules - 1) / schedules // partitions of the call
	if each == 0 {
		return s.total
	}
	return n/each*s.partitions + n%each*schedules + call
}

// due is when a message is to be sent.
func (s *scheduled) due(number int) time.Time {
	return s.begun.Add(time.Duration(float64(number) / s.rate * float64(time.Second)))
}

func (s *scheduled) send(ctx context.Context, call grpc.ClientStream, index int) (late time.Duration, err error) {
	ticks := time.NewTicker(scheduleTick)
	defer ticks.Stop()
	for n := 0; ; n++ {
		number := s.number(index, n)
		if number >= s.total {
			return late, call.CloseSend()
		}
		for time.Now().Before(s.due(number)) {
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return late, ctx.Err()
			}
		}
		stream, partition := manyPartition(number % s.partitions)
		request := &codec.PublishStreamRequest{ID: uint64(n), Batch: &codec.PublishRequest{
			Stream: stream, Partition: &partition, Records: s.records, Ack: trestlev1.AckPolicy_ACK_POLICY_ALL,
		}}
		if err := call.SendMsg(request); err != nil && !errors.Is(err, io.EOF) { // receive says why it ended
			return late, err
		}
		late = max(late, time.Since(s.due(number)))
	}
}

func (s *scheduled) receive(call grpc.ClientStream, index int) (waits []time.Duration, err error) {
	for {
		answer := &trestlev1.PublishStreamResponse{}
		if err := call.RecvMsg(answer); errors.Is(err, io.EOF) {
			return waits, nil
		} else if err != nil {
			return waits, err
		}
		now := time.Now()
		if failure := answer.GetError(); failure != nil {
			return waits, fmt.Errorf("%s: %s", failure.GetReason(), failure.GetMessage())
		}
		if !answer.GetAck().GetDurable() {
			return waits, fmt.Errorf("message %d was acknowledged before it was durable", answer.GetFirstId())
		}
		for id := answer.GetFirstId(); id <= answer.GetLastId(); id++ {
			waits = append(waits, now.Sub(s.due(s.number(index, int(id)))))
		}
	}
}

// manyPartition is a partition of all that createMany makes.
func manyPartition(n int) (stream string, partition int32) {
	return fmt.Sprintf("many-%d", n/partitionsEach), int32(n % partitionsEach)
}
