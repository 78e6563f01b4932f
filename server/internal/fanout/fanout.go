package fanout

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	published, dropped, withoutSubject atomic.Uint64
}

// Counts are the values of Counters at one moment. They only grow.
type Counts struct {
	Published      uint64 // messages given to NATS
	Dropped        uint64 // messages that were not: NATS was away, too slow, or takes none so large
	WithoutSubject uint64 // messages that have no subject to be published on
}

// Now are the counts as of now.
func (c *Counters) Now() Counts {
	return Counts{Published: c.published.Load(), Dropped: c.dropped.Load(), WithoutSubject: c.withoutSubject.Load()}
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
}

// Start fans out what is committed from now on, until Close.
func Start(config Config) (*Fanout, error) {
	f := &Fanout{config: config}
	reader, err := f.read()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	f.task.Go(func() { f.run(ctx, reader) })
	return f, nil
}

// Subject is that of records that name none.
func (f *Fanout) Subject() string { return f.config.Subject }

// Close ends the fan-out, whatever is still to come.
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
	for {
		chunk, err := reader.Next(ctx)
		switch {
		case err == nil:
			err = f.chunk(&chunk)
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
			reader = next
		}
	}
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
		if end-offset > maxBehind {
			f.config.Counters.dropped.Add(1)
			continue
		}
		f.record(&r, offset)
	}
}

// record publishes one record.
func (f *Fanout) record(r *batch.Record, offset int64) {
	subject := string(r.Subject)
	if subject == "" {
		subject = f.config.Subject
	}
	if names.Reserved(subject) || names.Literal(subject) != nil {
		f.config.Counters.withoutSubject.Add(1)
		return
	}
	if err := f.config.Publisher.PublishMsg(f.message(r, subject, offset)); err != nil {
		f.config.Counters.dropped.Add(1)
		return
	}
	f.config.Counters.published.Add(1)
}

// message is a record as it goes out: value and headers, the key and where it comes from as headers, and no reply subject.
func (f *Fanout) message(r *batch.Record, subject string, offset int64) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Data: r.Value, Header: nats.Header{}}
	for _, h := range r.Headers {
		name := string(h.Name)
		msg.Header[name] = append(msg.Header[name], string(h.Value))
	}
	if delete(msg.Header, KeyName); r.Key != nil {
		msg.Header[KeyName] = []string{base64.StdEncoding.EncodeToString(r.Key)}
	}
	if r.Tombstone {
		msg.Header[TombstoneName] = []string{"1"}
	}
	origin := Origin{Stream: f.config.Stream, Group: f.config.Group, Partition: f.config.Number, Offset: offset}
	msg.Header[OriginName] = []string{f.config.Secret.Mark(&origin, []byte(subject), r.Key, r.Value)}
	return msg
}
