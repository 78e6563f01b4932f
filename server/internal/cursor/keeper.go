// Package cursor keeps named positions of readers in the internal stream __cursors: a record for each, under a key, the last
// one of a key holds (protocol.md 2.12). What it has in memory comes out of the log and nowhere else, so that a broker that
// begins to lead the stream's partition knows what was answered before.
package cursor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// StreamName of the stream that stores cursors; it has one partition.
const StreamName = "__cursors"

// Limits.
const (
	// MaxIDBytes is the size of a cursor's id at most.
	MaxIDBytes = 256
	// DefaultMaxCursors is how many cursors there may be, some 200 bytes each.
	DefaultMaxCursors = 1_000_000
)

// Key names a cursor.
type Key struct {
	Stream    uuid.UUID // of the stream that is read
	Partition int32
	ID        string
}

// Position is where a reader goes on.
type Position struct {
	NextOffset  int64
	LeaderEpoch uint64 // of the record before it; 0: not known
	Time        int64  // when it was set, unix nanoseconds
}

// LimitError says that there are as many cursors as there may be.
type LimitError struct{ Limit int }

func (e *LimitError) Error() string {
	return fmt.Sprintf("there are %d cursors, as many as there may be; delete some", e.Limit)
}

// Metadata is the state of the cluster.
type Metadata interface {
	State() *metadata.State
	// Changed returns a channel that is closed when there is a newer state than those that were seen before the call.
	Changed() <-chan struct{}
}

// Config of a Keeper.
type Config struct {
	Metadata Metadata
	// Partition returns the partition of StreamName if this broker leads it, and otherwise says why not.
	Partition func() (*partition.Partition, error)
	// MaxCursors is how many there may be; 0: DefaultMaxCursors.
	MaxCursors int
	Logger     *slog.Logger
}

// Keeper keeps cursors. It is safe for concurrent use. Its errors are those of the partition, and what Config.Partition
// returns.
type Keeper struct {
	config  Config
	cancel  context.CancelFunc // ends run
	running sync.WaitGroup

	// turn holds a token that is taken by whoever uses what follows.
	turn      chan struct{}
	partition *partition.Partition // whose records are known; nil: none
	reader    *partition.Reader
	inherited int64 // end of the log when the partition was taken up: all before it must be known before anything is answered
	streams   map[uuid.UUID]map[local]entry
	count     int
}

// local names a cursor within a stream.
type local struct {
	id        string
	partition int32
}

type entry struct {
	Position
	revision uint64 // of the metadata when it was set
}

// Open returns a keeper, which forgets the cursors of streams that are deleted until Close.
func Open(config Config) *Keeper {
	if config.MaxCursors == 0 {
		config.MaxCursors = DefaultMaxCursors
	}
	k := &Keeper{config: config, turn: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.running.Go(func() { k.run(ctx) })
	return k
}

// Close ends what the keeper does by itself.
func (k *Keeper) Close() {
	k.cancel()
	k.running.Wait()
}

// Set stores the position, replacing the one there was. It returns once the record is committed, with its time filled in.
func (k *Keeper) Set(ctx context.Context, key Key, at Position) (Position, error) {
	p, err := k.known(ctx, func() error {
		if _, ok := k.streams[key.Stream][local{key.ID, key.Partition}]; !ok && k.count >= k.config.MaxCursors {
			return &LimitError{Limit: k.config.MaxCursors}
		}
		return nil
	})
	if err != nil {
		return Position{}, err
	}
	records, err := appendStored(nil, key, at, k.config.Metadata.State().Index())
	if err != nil {
		return Position{}, err
	}
	ack, err := publish(ctx, p, records, 1)
	if err != nil {
		return Position{}, fmt.Errorf("storing cursor %q: %w", key.ID, err)
	}
	at.Time = ack.Time
	return at, nil
}

// Get returns the position that was stored last before the call; ok is false if there is none.
func (k *Keeper) Get(ctx context.Context, key Key) (at Position, ok bool, err error) {
	_, err = k.known(ctx, func() error {
		var found entry
		found, ok = k.streams[key.Stream][local{key.ID, key.Partition}]
		at = found.Position
		return nil
	})
	return at, ok, err
}

// Delete forgets a position. That there is none is no error.
func (k *Keeper) Delete(ctx context.Context, key Key) error {
	there := false
	p, err := k.known(ctx, func() error {
		_, there = k.streams[key.Stream][local{key.ID, key.Partition}]
		return nil
	})
	if err != nil || !there {
		return err
	}
	if _, err := publish(ctx, p, appendTombstone(nil, key), 1); err != nil {
		return fmt.Errorf("deleting cursor %q: %w", key.ID, err)
	}
	return nil
}

// known calls look once all that was committed before is in the maps, which nobody else uses meanwhile.
func (k *Keeper) known(ctx context.Context, look func() error) (*partition.Partition, error) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p, err := k.config.Partition()
	if err != nil {
		k.partition, k.reader, k.streams, k.count = nil, nil, nil, 0
		return nil, err
	}
	if p != k.partition {
		if err := k.takeUp(p); err != nil {
			return nil, err
		}
	}
	if err := k.follow(ctx, max(p.State().HighWatermark, k.inherited)); err != nil {
		if ctx.Err() == nil { // what was read may not be all of a chunk: from the start again
			k.partition = nil
		}
		return nil, err
	}
	return p, look()
}

// takeUp begins with a partition of which nothing is known.
func (k *Keeper) takeUp(p *partition.Partition) error {
	reader, err := p.Read(partition.ReadOptions{
		Start: partition.Place{Kind: partition.AtEarliest}, Stop: partition.Place{Kind: partition.AtNever}, Plain: true,
	})
	if err != nil {
		return fmt.Errorf("reading cursors: %w", err)
	}
	k.partition, k.reader, k.inherited = p, reader, p.State().NextOffset
	k.streams, k.count = map[uuid.UUID]map[local]entry{}, 0
	return nil
}

// follow reads up to the offset, waiting for it to be committed.
func (k *Keeper) follow(ctx context.Context, until int64) error {
	for k.reader.NextOffset() < until {
		chunk, err := k.reader.Next(ctx)
		if err == nil {
			err = k.apply(chunk.Batches)
		}
		if err != nil {
			return fmt.Errorf("reading cursors: %w", err)
		}
	}
	return nil
}

// keyBytes is the size of a stored key without the id.
const keyBytes = 16 + 4

func appendKey(b []byte, k Key) []byte {
	b = append(b, k.Stream[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(k.Partition))
	return append(b, k.ID...)
}

var errNotOurs = errors.New("the record is none of a cursor")

func parseKey(b []byte) (Key, error) {
	if len(b) <= keyBytes {
		return Key{}, errNotOurs
	}
	return Key{
		Stream: uuid.UUID(b[:16]), Partition: int32(binary.BigEndian.Uint32(b[16:])), ID: string(b[keyBytes:]),
	}, nil
}
