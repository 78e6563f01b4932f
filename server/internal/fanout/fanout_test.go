package fanout_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/dedup"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// publisher keeps what it gets.
type publisher struct {
	mu        sync.Mutex
	msgs      chan *nats.Msg
	err       error             // guarded by mu
	listeners *fanout.Listeners // guarded by mu
}

func (p *publisher) Listeners() *fanout.Listeners {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listeners
}

// listen has the stream listen on all that is its, and somebody else on these subjects alone.
func (p *publisher) listen(t *testing.T, subjects ...string) {
	t.Helper()
	l := fanout.NewListeners()
	err := l.AddStream(">", stream)
	for _, subject := range subjects {
		err = errors.Join(err, l.Add(subject))
	}
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = l
}

func (p *publisher) Send(commands []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(commands) > 0 && p.err == nil {
		var msg *nats.Msg
		if msg, commands, p.err = read(commands); p.err == nil {
			p.msgs <- msg
		}
	}
	return p.err
}

// MaxPayload is NATS's default.
func (p *publisher) MaxPayload() int { return 1 << 20 }

// read reads the first of the commands as a NATS server does.
func read(commands []byte) (msg *nats.Msg, rest []byte, err error) {
	var header, size int
	line, rest, _ := bytes.Cut(commands, []byte("\r\n"))
	msg = &nats.Msg{}
	if _, err := fmt.Sscanf(string(line), "HPUB %s %d %d", &msg.Subject, &header, &size); err != nil {
		return nil, nil, fmt.Errorf("%q: %w", line, err)
	}
	if string(rest[size:size+2]) != "\r\n" {
		return nil, nil, fmt.Errorf("%q is followed by %q", line, rest)
	}
	msg.Data = bytes.Clone(rest[header:size])
	msg.Header, err = nats.DecodeHeadersMsg(rest[:header])
	return msg, rest[size+2:], err
}

func (p *publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *publisher) next(t *testing.T) *nats.Msg {
	t.Helper()
	select {
	case msg := <-p.msgs:
		return msg
	case <-time.After(10 * time.Second):
		t.Fatal("nothing is fanned out")
		return nil
	}
}

// lead leads the partition on the disk, in the next epoch.
func lead(t *testing.T, disk *vfs.Mem) (*partition.Partition, uint64) {
	t.Helper()
	log, _, err := commitlog.Open("/log", commitlog.Options{Files: commitlog.NewFiles(disk, 8), Partition: [16]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	epoch, _ := log.LastEpoch()
	p, err := partition.Lead(partition.Config{
		Log: log, Epoch: epoch + 1, Now: time.Now, OnFault: func(err error) { t.Errorf("fault: %v", err) },
		Settings: partition.Settings{DedupWindow: time.Minute}, Dedup: &partition.Dedup{Key: dedup.Key{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, epoch + 1
}

func record(subject, key, value string) *batch.Record {
	r := &batch.Record{Subject: []byte(subject), Value: []byte(value)}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

func publish(t *testing.T, p *partition.Partition, all ...*batch.Record) {
	t.Helper()
	var b []byte
	for _, r := range all {
		b = batch.AppendRecord(b, r)
	}
	_, err := p.Publish(t.Context(), partition.Batch{
		Records: b, Count: len(all), Checksum: batch.Checksum(b), Attributes: batch.HasMessageIDs,
	})
	if err != nil {
		t.Fatal(err)
	}
}

var stream = uuid.MustParse("6a0f6a6c-3f0e-4a7b-9a58-6d4f0a2c8f11")

func start(t *testing.T, p *partition.Partition, epoch uint64, out *publisher, counters *fanout.Counters) *fanout.Fanout {
	t.Helper()
	f, err := fanout.Start(fanout.Config{
		Partition: p, Epoch: epoch, Publisher: out, Buffers: &partition.Buffers{}, Secret: fanout.SecretOf([32]byte{1}), Stream: stream, Number: 2, Subject: "own",
		Counters: counters, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// What was published over gRPC goes out after commit and in the order of offsets: value, headers, key, id and where it comes
// from. Headers that NATS would drop or alter are left out, and their number is told. What was captured, what was stored before, and what cannot be published on a subject does not (2.1, 2.2).
func TestFanout(t *testing.T) {
	t.Parallel()
	p, epoch := lead(t, vfs.NewMem(1))
	publish(t, p, record("", "", "before"))
	out := &publisher{msgs: make(chan *nats.Msg, 100)}
	var counters fanout.Counters
	start(t, p, epoch, out, &counters)
	stored := make(chan error, 1)
	captured := partition.Captured{OnAck: func(_ partition.Ack, err error) { stored <- err }}
	if err := errors.Join(p.CaptureWith(record("a", "", "captured"), captured), <-stored); err != nil {
		t.Fatal(err)
	}
	with := record("a.b", "k", "1")
	with.Reply = []byte("answers")
	with.Headers = []batch.HeaderField{
		{Name: []byte(batch.MessageIDHeader), Value: []byte("id")},
		{Name: []byte("h"), Value: []byte("2")},
		{Name: []byte("h"), Value: []byte("1")},
		{Name: []byte(fanout.OriginName), Value: []byte("forged")},
		{Name: []byte(fanout.KeyName), Value: []byte("forged")},
		{Name: []byte("no token"), Value: []byte("1")},
		{Name: nil, Value: []byte("1")},
		{Name: []byte("n:"), Value: []byte("1")},
		{Name: []byte("nä"), Value: []byte("1")},
		{Name: []byte("lines"), Value: []byte("1\r\n2")},
		{Name: []byte("blank"), Value: []byte(" 1")},
		{Name: []byte("blank"), Value: []byte("1\t")},
		{Name: []byte("fine"), Value: []byte("ä 1")},
		{Name: []byte("empty"), Value: nil},
	}
	publish(t, p, with, with)
	publish(t, p, with)
	publish(t, p, record("$SYS.x", "", "x"), record("a.*", "", "x"))
	tombstone := record("", "k", "")
	tombstone.Tombstone = true
	publish(t, p, tombstone)
	publish(t, p, record("", "", "last"))
	secret := fanout.SecretOf([32]byte{1})
	marker := fanout.NewMarker(&secret, nil)
	mark := func(offset int64, subject, key, value string) []string {
		o := fanout.Origin{Stream: stream, Partition: 2, Offset: offset}
		return []string{string(marker.Append(nil, &o, []byte(subject), []byte(key), []byte(value)))}
	}
	for _, want := range []*nats.Msg{
		{Subject: "a.b", Data: []byte("1"), Header: nats.Header{
			batch.MessageIDHeader: {"id"}, "h": {"2", "1"}, "fine": {"ä 1"}, "empty": {""}, fanout.DroppedHeadersName: {"9"},
			fanout.KeyName: {"aw=="}, fanout.OriginName: mark(2, "a.b", "k", "1"),
		}},
		{Subject: "own", Data: []byte{}, Header: nats.Header{
			fanout.KeyName: {"aw=="}, fanout.TombstoneName: {"1"}, fanout.OriginName: mark(5, "own", "k", ""),
		}},
		{Subject: "own", Data: []byte("last"), Header: nats.Header{fanout.OriginName: mark(6, "own", "", "last")}},
	} {
		got := out.next(t)
		if got.Subject != want.Subject || got.Reply != "" || string(got.Data) != string(want.Data) || !cmp.Equal(got.Header, want.Header) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := counters.Now(); got != (fanout.Counts{Published: 3, WithoutSubject: 2, DroppedHeaders: 9}) {
		t.Errorf("counts %+v", got)
	}
}

// While NATS is away messages are dropped and counted, and nobody waits (2.1). Records of another leadership are never
// fanned out.
func TestFanoutDrops(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem(1)
	p, epoch := lead(t, disk)
	out := &publisher{msgs: make(chan *nats.Msg, 100)}
	var counters fanout.Counters
	out.fail(errors.New("nats is away"))
	f := start(t, p, epoch, out, &counters)
	publish(t, p, record("", "", "1"), record("", "", "2"))
	for counters.Now().Dropped < 2 {
		select {
		case <-t.Context().Done():
			t.Fatal("nothing is dropped")
		case <-time.After(time.Millisecond):
		}
	}
	out.fail(nil)
	publish(t, p, record("", "", "3"))
	if msg := out.next(t); string(msg.Data) != "3" {
		t.Errorf("got %+v", msg)
	}
	f.Close()
	publish(t, p, record("", "", "4"))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p, epoch = lead(t, disk)
	start(t, p, epoch, out, &counters)
	publish(t, p, record("", "", "5"))
	if msg := out.next(t); string(msg.Data) != "5" {
		t.Errorf("got %+v", msg)
	}
}

// Records of another leader epoch are not fanned out: they were, or never will be (2.1).
func TestFanoutOfFormerEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, epoch := lead(t, vfs.NewMem(1))
		var counters fanout.Counters
		now, later := &publisher{msgs: make(chan *nats.Msg, 10)}, &publisher{msgs: make(chan *nats.Msg, 10)}
		start(t, p, epoch, now, &counters)
		start(t, p, epoch+1, later, &counters)
		publish(t, p, record("", "", "1"))
		synctest.Wait()
		if len(now.msgs) != 1 || len(later.msgs) != 0 {
			t.Errorf("%d messages go out in the epoch of the record and %d in the next", len(now.msgs), len(later.msgs))
		}
	})
}
