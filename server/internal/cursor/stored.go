package cursor

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// appendStored appends the record of a cursor.
func appendStored(dst []byte, key Key, at Position, revision uint64) ([]byte, error) {
	value, err := proto.Marshal(&trestlev1.StoredCursor{
		StreamUuid: key.Stream[:], Partition: key.Partition, Id: key.ID,
		NextOffset: at.NextOffset, LeaderEpoch: at.LeaderEpoch, MetadataRevision: revision,
	})
	if err != nil {
		return nil, fmt.Errorf("storing cursor %q: %w", key.ID, err)
	}
	return batch.AppendRecord(dst, &batch.Record{Key: appendKey(nil, key), Value: value}), nil
}

// appendTombstone appends the record that forgets a cursor.
func appendTombstone(dst []byte, key Key) []byte {
	return batch.AppendRecord(dst, &batch.Record{Key: appendKey(nil, key), Tombstone: true})
}

// publish appends records and returns when they are committed.
func publish(ctx context.Context, p *partition.Partition, records []byte, count int) (partition.Ack, error) {
	return p.Publish(ctx, partition.Batch{Records: records, Count: count, Checksum: batch.Checksum(records)})
}

// apply takes in what stored batches say.
func (k *Keeper) apply(batches []byte) error {
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
			if err := k.applyRecords(&records, h.Time); err != nil {
				return err
			}
		}
		batches = batches[h.Size:]
	}
	return nil
}

func (k *Keeper) applyRecords(records *batch.Records, time int64) error {
	var r batch.Record
	for {
		delta, ok, err := records.Next(&r)
		if err != nil || !ok {
			return err
		}
		if err := k.applyRecord(&r, time); err != nil {
			k.config.Logger.Warn("a record of "+StreamName+" is passed over", "place_in_batch", delta, "error", err)
		}
	}
}

func (k *Keeper) applyRecord(r *batch.Record, time int64) error {
	key, err := parseKey(r.Key)
	if err != nil {
		return err
	}
	name := local{key.ID, key.Partition}
	of := k.streams[key.Stream]
	_, there := of[name]
	if r.Tombstone {
		if there {
			k.count--
		}
		if delete(of, name); len(of) == 0 {
			delete(k.streams, key.Stream)
		}
		return nil
	}
	var stored trestlev1.StoredCursor
	if err := proto.Unmarshal(r.Value, &stored); err != nil {
		return fmt.Errorf("cursor %q: %w", key.ID, err)
	}
	if of == nil {
		of = map[local]entry{}
		k.streams[key.Stream] = of
	}
	if !there {
		k.count++
	}
	of[name] = entry{
		Position: Position{NextOffset: stored.GetNextOffset(), LeaderEpoch: stored.GetLeaderEpoch(), Time: time},
		revision: stored.GetMetadataRevision(),
	}
	return nil
}

// lost are the cursors of streams that were deleted. A stream that the state does not have and that was there in an earlier
// one is; with a cursor of a later one the state is behind.
func (k *Keeper) lost(limit int) []Key {
	state := k.config.Metadata.State()
	var lost []Key
	for stream, of := range k.streams {
		if _, there := state.StreamByID(stream); there {
			continue
		}
		for name, e := range of {
			if e.revision <= state.Index() && len(lost) < limit {
				lost = append(lost, Key{Stream: stream, Partition: name.partition, ID: name.id})
			}
		}
	}
	return lost
}
