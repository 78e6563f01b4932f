package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/cmd/trestle/internal/streamfile"
)

// resumption finds out how much of a file a stream holds that was filled from it before, by comparing message by message:
// an import stores those of each partition in the order of the file, so that what it leaves is their beginning.
type resumption struct {
	stream *client.Stream
	path   string
	// held is how many messages of each partition there were when the import began, passed how many of them were compared.
	held, passed map[int]int64
	reading      map[int]*client.Subscription
}

// resume prepares to go on with a stream that holds something. One that has lost its oldest messages cannot be compared.
func resume(stream *client.Stream, info *client.StreamInfo, path string) (*resumption, error) {
	r := &resumption{stream: stream, path: path, held: map[int]int64{}, passed: map[int]int64{}, reading: map[int]*client.Subscription{}}
	for i := range info.Partitions {
		p := &info.Partitions[i]
		if p.LogStart > 0 {
			return nil, fmt.Errorf("partition %d of stream %s begins at offset %d, so that its beginning cannot be compared with %s; delete the stream with trestle stream rm %s and import again",
				p.ID, stream.Name(), p.LogStart, path, stream.Name())
		}
		r.held[p.ID] = p.HighWatermark
	}
	return r, nil
}

func (r *resumption) stop() {
	for _, sub := range r.reading {
		sub.Stop()
	}
}

// missing is what the stream does not hold of a chunk.
func (r *resumption) missing(ctx context.Context, chunk *streamfile.Chunk) ([]client.Message, error) {
	for i := range chunk.Messages {
		if r.passed[chunk.Partition] == r.held[chunk.Partition] {
			return chunk.Messages[i:], nil
		}
		there, err := r.next(ctx, chunk.Partition)
		if err != nil {
			return nil, err
		}
		if there.Offset != r.passed[chunk.Partition] || !sameContent(there, &chunk.Messages[i]) {
			return nil, &otherContentError{stream: r.stream.Name(), path: r.path, partition: chunk.Partition, offset: r.passed[chunk.Partition]}
		}
		r.passed[chunk.Partition]++
	}
	return nil, nil
}

// next is the next message that the partition holds.
func (r *resumption) next(ctx context.Context, partition int) (*client.Message, error) {
	sub := r.reading[partition]
	if sub == nil {
		var err error
		sub, err = r.stream.Subscribe(ctx, client.Partitions(partition), client.FromEarliest(), client.UntilOffset(r.held[partition]))
		if err != nil {
			return nil, err
		}
		r.reading[partition] = sub
	}
	m, err := sub.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare with what partition %d of stream %s holds: %w", partition, r.stream.Name(), err)
	}
	return m, nil
}

// sameContent compares what an import keeps of a message.
func sameContent(a, b *client.Message) bool {
	sameBytes := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	return a.Subject == b.Subject && a.Reply == b.Reply && a.Tombstone == b.Tombstone && sameBytes(a.Key, b.Key) && sameBytes(a.Value, b.Value) &&
		slices.EqualFunc(a.Headers, b.Headers, func(a, b client.HeaderField) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) })
}

// otherContentError says that a stream holds something else than an import of the file leaves.
type otherContentError struct {
	stream, path string
	partition    int
	offset       int64
}

func (e *otherContentError) Error() string {
	return fmt.Sprintf("offset %d of partition %d of stream %s is not the message that %s has there, so that the import cannot go on: it was filled from another file, or something else was published to it; choose another NAME, or delete it with trestle stream rm %s and import again",
		e.offset, e.partition, e.stream, e.path, e.stream)
}
