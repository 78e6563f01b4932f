package liftbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/batch"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// activityName of the stream of events.
const activityName = "__activity"

// maxStates is how many states of the metadata may wait to be recorded. Then the next one waited for is the newest.
const maxStates = 1024

// activityRetry is when what could not be recorded is tried again.
const activityRetry = 100 * time.Millisecond

// streamHeader of an event holds the UUID of the stream that it is about.
const streamHeader = "Trestle-Stream"

// recordActivity keeps __activity until End: the events that it holds, taken together, are what there is.
func (s *Service) recordActivity() {
	for s.running.Err() == nil {
		err := s.keepActivity(s.running)
		if err != nil && s.running.Err() == nil && !errors.As(err, new(*host.NotLedError)) {
			s.config.Logger.Warn("events were not recorded in "+activityName+"; they will be", "error", err)
		}
		select {
		case <-time.After(activityRetry):
		case <-s.running.Done():
		}
	}
}

// keepActivity records events until that fails. Whether the last one was stored is then found by reading all of them again.
func (s *Service) keepActivity(ctx context.Context) error {
	p, err := s.activityPartition(ctx)
	if err != nil {
		return err
	}
	known, err := readActivity(ctx, p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	states, watching := make(chan *metadata.State, maxStates), sync.WaitGroup{}
	watching.Go(func() { s.eachState(ctx, states) })
	defer watching.Wait()
	defer cancel()
	for {
		var state *metadata.State
		select {
		case state = <-states:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, event := range known.missing(state, s.wasSilent) {
			if err := appendActivity(ctx, p, event); err != nil {
				return err
			}
			known.apply(event)
		}
	}
}

// eachState passes states on as they come, while others are being recorded: what comes and goes meanwhile shows, too.
func (s *Service) eachState(ctx context.Context, states chan<- *metadata.State) {
	for {
		changed, state := s.config.Metadata.Changed(), s.config.Metadata.State()
		select {
		case states <- state:
		case <-ctx.Done():
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// activityPartition is that of the stream of events, which it makes if need be, if this broker leads it.
func (s *Service) activityPartition(ctx context.Context) (*partition.Partition, error) {
	state := s.config.Metadata.State()
	if _, ok := state.Stream(activityName); !ok {
		id := uuid.NewSHA1(state.Cluster().UUID, []byte(activityName)) // whoever makes it: the same one
		first := uuid.NewSHA1(id, []byte("0"))
		_, err := s.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_CreateStream{CreateStream: &clusterv1.CreateStream{
			Uuid: id[:], Internal: true, AcceptExisting: true, Created: s.config.Now().UnixNano(),
			Config:     &trestlev1.StreamConfig{Name: activityName, DedupWindow: durationpb.New(0)},
			Partitions: []*clusterv1.NewPartition{{Uuid: first[:]}},
		}}})
		if err != nil {
			return nil, fmt.Errorf("making stream %s: %w", activityName, err)
		}
	}
	return s.config.Streams.PartitionOf(activityName, 0)
}

// readActivity reads all events.
func readActivity(ctx context.Context, p *partition.Partition) (*seen, error) {
	all, end := newSeen(), p.State().NextOffset // what is not committed yet will be
	r, err := p.Read(partition.ReadOptions{
		Start: partition.Place{Kind: partition.AtEarliest}, Stop: partition.Place{Kind: partition.AtNever}, Plain: true,
	})
	for err == nil && r.NextOffset() < end {
		var chunk partition.Chunk
		if chunk, err = r.Next(ctx); err == nil {
			err = all.applyBatches(chunk.Batches)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", activityName, err)
	}
	return all, nil
}

func (n *seen) applyBatches(batches []byte) error {
	for len(batches) > 0 {
		h, err := batch.ParseHeader(batches)
		if err != nil {
			return err
		}
		if !h.Control() {
			records, err := h.RecordsOf(batches)
			if err != nil {
				return err
			}
			if err := n.applyRecords(&records); err != nil {
				return err
			}
		}
		batches = batches[h.Size:]
	}
	return nil
}

func (n *seen) applyRecords(records *batch.Records) error {
	var r batch.Record
	for {
		_, ok, err := records.Next(&r)
		if err != nil || !ok {
			return err
		}
		a := activity{ActivityStreamEvent: &liftbridgepb.ActivityStreamEvent{}}
		if err := proto.Unmarshal(r.Value, a.ActivityStreamEvent); err != nil {
			return err
		}
		for _, h := range r.Headers {
			if string(h.Name) == streamHeader {
				a.stream, _ = uuid.ParseBytes(h.Value)
			}
		}
		n.apply(a)
	}
}

// appendActivity stores an event and returns when it is committed.
func appendActivity(ctx context.Context, p *partition.Partition, a activity) error {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(a.ActivityStreamEvent)
	if err != nil {
		return err
	}
	r := batch.Record{Value: value}
	if a.stream != uuid.Nil {
		r.Headers = []batch.HeaderField{{Name: []byte(streamHeader), Value: []byte(a.stream.String())}}
	}
	records := batch.AppendRecord(nil, &r)
	_, err = p.Publish(ctx, partition.Batch{Records: records, Count: 1, LargestRecord: len(records), Checksum: batch.Checksum(records)})
	if err != nil {
		return fmt.Errorf("recording in %s: %w", activityName, err)
	}
	return nil
}

// wasSilent says whether a member is gone because it was silent, and forgets that.
func (s *Service) wasSilent(m seenMember) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.silent[m]
	delete(s.silent, m)
	return was
}

// noteSilent remembers why a member is taken out of its group, if events are recorded.
func (s *Service) noteSilent(group, consumer string) {
	if !s.config.Activity {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent[seenMember{group, consumer}] = true
}
