package fanout

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

const (
	// maxBehind is by how many records fan-out may lag behind what is committed: NATS cannot take them so fast, and older
	// ones are dropped.
	maxBehind = 1 << 16
	// again is how long it takes until reading is tried again after it failed.
	again = time.Second
)

// Publisher publishes on NATS. It does not keep what it cannot send.
type Publisher interface {
	PublishMsg(msg *nats.Msg) error
}

// Counters are what all fan-outs of a broker did. The zero value is ready to use.
type Counters struct {
	published, dropped, withoutSubject, droppedHeaders atomic.Uint64
}

// Counts are the values of Counters at one moment. They only grow.
type Counts struct {
	Published uint64 // messages given to NATS
	// Dropped are messages that were not: NATS was away, too slow, or takes none so large, or the fan-out ended first. What
	// cannot be read any more counts by its offsets, which are as many messages or more.
	Dropped        uint64
	WithoutSubject uint64 // messages that have no subject to be published on
	DroppedHeaders uint64 // headers of published messages that NATS cannot carry as they are
}

// Now are the counts as of now.
func (c *Counters) Now() Counts {
	return Counts{
		Published: c.published.Load(), Dropped: c.dropped.Load(),
		WithoutSubject: c.withoutSubject.Load(), DroppedHeaders: c.droppedHeaders.Load(),
	}
}

// Config of a Fanout.
type Config struct {
	Partition *partition.Partition
	// Epoch in which the partition is led. Records of other epochs are not fanned out: they were, or never will be.
	Epoch     uint64
	Publisher Publisher
	Secret    Secret
	Stream    uuid.UUID
	Group     string // queue group of the stream; "": none
	Number    int32  // of the partition
	// Subject of records that name none; "": those are not fanned out (protocol.md 2.2).
	Subject  string
	Counters *Counters
	Logger   *slog.Logger
}

// Fanout publishes what is committed in one partition. The log is its queue, so it delays nobody and holds no more than a
// chunk.
type Fanout struct {
	config Config
	cancel context.CancelFunc
	task   sync.WaitGroup

	// Of the task.
	next    int64 // offset below which everything was published or counted
	ending  bool  // nothing is published any more, only counted
	marker  *Marker
	last    string // subject of the record before
	subject []byte // the same
}

// Start fans out what is committed from now on, until Close.
func Start(config Config) (*Fanout, error) {
	f := &Fanout{config: config, marker: NewMarker(&config.Secret)}
	reader, err := f.read()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel, f.next = cancel, reader.NextOffset()
	f.task.Go(func() { f.run(ctx, reader) })
	return f, nil
}

// Subject is that of records that name none.
func (f *Fanout) Subject() string { return f.config.Subject }

// Close ends the fan-out. What is committed and not published yet is dropped and counted.
func (f *Fanout) Close() {
	f.cancel()
	f.task.Wait()
}

func (f *Fanout) read() (*partition.Reader, error) {
	reader, err := f.config.Partition.Read(partition.ReadOptions{
		Start: partition.Place{Kind: partition.AtEnd}, Stop: partition.Place{Kind: partition.AtNever}, Plain: true,
	})
	if err != nil {
		return nil, fmt.Errorf("fan-out: %w", err)
	}
	return reader, nil
}

// run publishes until ctx ends or nothing can come any more.
func (f *Fanout) run(ctx context.Context, reader *partition.Reader) {
	defer f.countRest()
	for ctx.Err() == nil {
		chunk, err := reader.Next(ctx)
		var damaged *partition.DamagedError
		switch {
		case err == nil:
			err = f.chunk(&chunk)
			f.skipTo(reader.NextOffset()) // nothing, unless that failed
		case errors.As(err, &damaged): // the reader goes on behind it; another one would come across it again
			f.config.Logger.Error("damaged messages are not fanned out", "stream", f.config.Stream, "partition", f.config.Number, "error", err)
			f.skipTo(damaged.NextGood)
			continue
		case ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, partition.ErrClosed):
			return
		}
		if err == nil {
			continue
		}
		f.config.Logger.Error("messages are not fanned out", "stream", f.config.Stream, "partition", f.config.Number, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
		if next, err := f.read(); err == nil {
			f.skipTo(next.NextOffset())
			reader = next
		}
	}
}

// skipTo counts what is dropped unread.
func (f *Fanout) skipTo(offset int64) {
	if offset > f.next && !mutant("fanout-skips-uncounted") {
		f.config.Counters.dropped.Add(uint64(offset - f.next))
	}
	f.next = max(f.next, offset)
}

// countRest counts what is committed and will not be published: as messages the first chunk of it, by offsets the rest.
func (f *Fanout) countRest() {
	f.ending = true
	reader, err := f.config.Partition.Read(partition.ReadOptions{
		Start: partition.Place{Kind: partition.AtOffset, Offset: f.next}, Plain: true,
	})
	if err == nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // it waits for nothing
		if chunk, err := reader.Next(ctx); err == nil && f.chunk(&chunk) == nil {
			f.skipTo(reader.NextOffset())
		}
	}
	f.skipTo(f.config.Partition.State().HighWatermark)
}

// chunk publishes the records of a chunk that were published over gRPC in this epoch.
func (f *Fanout) chunk(c *partition.Chunk) error {
	for b := c.Batches; len(b) > 0; {
		h, err := batch.Parse(b)
		if err != nil {
			return err
		}
		ours := h.LeaderEpoch == f.config.Epoch || mutant("fanout-former-epoch")
		if !h.Control() && (h.Attributes&batch.Captured == 0 || mutant("fanout-captured")) && ours {
			if err := f.batch(&h, b, c.HighWatermark); err != nil {
				return err
			}
		}
		f.next = max(f.next, h.NextOffset())
		b = b[h.Size:]
	}
	return nil
}

func (f *Fanout) batch(h *batch.Header, b []byte, end int64) error {
	records, err := h.RecordsOf(b)
	if err != nil {
		return err
	}
	var r batch.Record
	for {
		delta, ok, err := records.Next(&r)
		if err != nil || !ok {
			return err
		}
		offset := h.BaseOffset + int64(delta)
		f.next = max(f.next, offset+1)
		if end-offset > maxBehind {
			f.config.Counters.dropped.Add(1)
			continue
		}
		f.record(&r, offset)
	}
}

// record publishes one record.
func (f *Fanout) record(r *batch.Record, offset int64) {
	subject := f.subjectOf(r)
	if names.Reserved(subject) || names.Literal(subject) != nil {
		f.config.Counters.withoutSubject.Add(1)
		return
	}
	msg, droppedHeaders := f.message(r, subject, offset)
	if f.ending || f.config.Publisher.PublishMsg(msg) != nil {
		f.config.Counters.dropped.Add(1)
		return
	}
	f.config.Counters.published.Add(1)
	f.config.Counters.droppedHeaders.Add(uint64(droppedHeaders))
}

// subjectOf is the subject of a record: most have that of the one before.
func (f *Fanout) subjectOf(r *batch.Record) string {
	switch {
	case len(r.Subject) == 0 && f.last != f.config.Subject:
		f.last, f.subject = f.config.Subject, []byte(f.config.Subject)
	case len(r.Subject) > 0 && f.last != string(r.Subject):
		f.last, f.subject = string(r.Subject), append(f.subject[:0], r.Subject...)
	}
	return f.last
}

// message is a record as it goes out: value and headers, the key and where it comes from as headers, and no reply subject.
// Headers that NATS cannot carry are left out, and their number is told.
func (f *Fanout) message(r *batch.Record, subject string, offset int64) (msg *nats.Msg, droppedHeaders int) {
	msg = &nats.Msg{Subject: subject, Data: r.Value, Header: nats.Header{}}
	for i := range r.Headers {
		h := &r.Headers[i]
		if !carriable(h) {
			droppedHeaders++
			continue
		}
		name := string(h.Name)
		msg.Header[name] = append(msg.Header[name], string(h.Value))
	}
	if droppedHeaders > 0 {
		msg.Header[DroppedHeadersName] = []string{strconv.Itoa(droppedHeaders)}
	}
	if r.Key != nil {
		msg.Header[KeyName] = []string{base64.StdEncoding.EncodeToString(r.Key)}
	}
	if r.Tombstone {
		msg.Header[TombstoneName] = []string{"1"}
	}
	origin := Origin{Stream: f.config.Stream, Group: f.config.Group, Partition: f.config.Number, Offset: offset}
	msg.Header[OriginName] = []string{f.marker.Mark(&origin, f.subject, r.Key, r.Value)}
	return msg, droppedHeaders
}
