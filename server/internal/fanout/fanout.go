package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

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

// Publisher is the way to NATS. It is safe for concurrent use.
type Publisher interface {
	// Send sends commands of NATS's client protocol, whole ones. With an error some of them may have been sent; what was not
	// is not kept.
	Send(commands []byte) error
	// Listeners are who listens now; nil: it is not known.
	Listeners() *Listeners
	// MaxPayload is how many bytes the header and the value of a message may have together.
	MaxPayload() int
}

// Counters are what all fan-outs of a broker did. The zero value is ready to use.
type Counters struct {
	published, unheard, dropped, withoutSubject, droppedHeaders atomic.Uint64
}

// Counts are the values of Counters at one moment. They only grow.
type Counts struct {
	Published uint64 // messages given to NATS
	Unheard   uint64 // messages that were not, since nobody listened
	// Dropped are messages that were not: NATS was away, too slow, or takes none so large, or the fan-out ended first. What
	// cannot be read any more counts by its offsets, which are as many messages or more.
	Dropped        uint64
	WithoutSubject uint64 // messages that have no subject to be published on
	DroppedHeaders uint64 // headers of published messages that NATS cannot carry as they are
}

// Now are the counts as of now.
func (c *Counters) Now() Counts {
	return Counts{
		Published: c.published.Load(), Unheard: c.unheard.Load(), Dropped: c.dropped.Load(),
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
	Known     *Known // nil: nobody here hears what goes out
	Stream    uuid.UUID
	Group     string // queue group of the stream; "": none
	Number    int32  // of the partition
	// Subject of records that name none; "": those are not fanned out (protocol.md 2.2).
	Subject  string
	Counters *Counters
	Buffers  *partition.Buffers // that it shares with others; nil: it shares with nobody
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
	mute    bool   // nothing is published on it
	hearing hearing
	header  []byte // of a record, while it is made
	out     outgoing
}

// outgoing is what goes out with the next write.
type outgoing struct {
	commands                 []byte
	messages, droppedHeaders uint64
	largest                  int // of a message, as of now
}

const (
	// writeBytes is about how much goes out at once.
	writeBytes = 64 << 10
	// keptBytes is the largest buffer that is used again.
	keptBytes = 1 << 20
)

// Start fans out what is committed from now on, until Close.
func Start(config Config) (*Fanout, error) {
	f := &Fanout{config: config, marker: NewMarker(&config.Secret, config.Known), mute: true} // of the empty subject
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
		Start: partition.Place{Kind: partition.AtEnd}, Stop: partition.Place{Kind: partition.AtNever}, Plain: true, Buffers: f.config.Buffers,
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
	f.out.largest = f.config.Publisher.MaxPayload()
	f.hearing.begin(time.Now())
	defer f.send()
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

// record publishes one record, with others.
func (f *Fanout) record(r *batch.Record, offset int64) {
	subject := f.subjectOf(r)
	if f.mute {
		f.config.Counters.withoutSubject.Add(1)
		return
	}
	if f.ending {
		f.config.Counters.dropped.Add(1)
		return
	}
	if !f.hearing.heard(subject, &f.config) {
		f.config.Counters.unheard.Add(1)
		return
	}
	var droppedHeaders int
	f.header, droppedHeaders = f.appendHeader(f.header[:0], r, offset)
	if len(f.header)+len(r.Value) > f.out.largest {
		f.config.Counters.dropped.Add(1)
		return
	}
	f.out.commands = appendMessage(f.out.commands, subject, f.header, r.Value)
	f.out.messages++
	f.out.droppedHeaders += uint64(droppedHeaders)
	if len(f.out.commands) >= writeBytes {
		f.send()
	}
}

// send sends what is to go out, and counts it.
func (f *Fanout) send() {
	if f.out.messages == 0 {
		return
	}
	if f.config.Publisher.Send(f.out.commands) != nil {
		f.config.Counters.dropped.Add(f.out.messages)
	} else {
		f.config.Counters.published.Add(f.out.messages)
		f.config.Counters.droppedHeaders.Add(f.out.droppedHeaders)
	}
	f.out.messages, f.out.droppedHeaders = 0, 0
	if f.out.commands = f.out.commands[:0]; cap(f.out.commands) > keptBytes {
		f.out.commands = nil
	}
	if cap(f.header) > keptBytes {
		f.header = nil
	}
}

// subjectOf is the subject of a record: most have that of the one before.
func (f *Fanout) subjectOf(r *batch.Record) string {
	switch {
	case len(r.Subject) == 0 && f.last != f.config.Subject:
		f.last, f.subject = f.config.Subject, []byte(f.config.Subject)
	case len(r.Subject) > 0 && f.last != string(r.Subject):
		f.last, f.subject = string(r.Subject), append(f.subject[:0], r.Subject...)
	default:
		return f.last
	}
	f.mute = names.Reserved(f.last) || names.Literal(f.last) != nil
	return f.last
}
