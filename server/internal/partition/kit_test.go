package partition_test

import (
	"errors"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/dedup"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// clock is set by hand.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(int64(1000 * time.Second))
	return c
}

func (c *clock) now() time.Time              { return time.Unix(0, c.nanos.Load()) }
func (c *clock) forward(d time.Duration)     { c.nanos.Add(int64(d)) }
func (c *clock) after(d time.Duration) int64 { return c.nanos.Load() + int64(d) }

// setup says how a partition is led.
type setup struct {
	disk    *vfs.Mem
	clock   *clock
	segment int64
	options func(*commitlog.Options)
}

func newSetup(seed uint64) *setup { return &setup{disk: vfs.NewMem(seed), clock: newClock()} }

var dedupKey = dedup.Key{3}

const snapshots = "/dedup"

// withDedup is a partition that stores a message once within a minute.
func withDedup(c *partition.Config) {
	c.Settings.DedupWindow = time.Minute
	c.Dedup = &partition.Dedup{Key: dedupKey, Folder: snapshots, SnapshotBytes: 4 << 10}
}

// lead takes up the leadership of the log, in the epoch after its last.
func (s *setup) lead(t testing.TB, changes ...func(*partition.Config)) *rig {
	t.Helper()
	options := commitlog.Options{Files: commitlog.NewFiles(s.disk, 8), Partition: [16]byte{1}, SegmentBytes: s.segment}
	if s.options != nil {
		s.options(&options)
	}
	log, _, err := commitlog.Open(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	epoch, _ := log.LastEpoch()
	r := &rig{disk: s.disk, faults: make(chan error, 1)}
	config := partition.Config{
		Log: log, Epoch: epoch + 1, Now: s.clock.now, OnFault: func(err error) { r.faults <- err },
		OnProblem: func(err error) {
			if !errors.Is(err, vfs.ErrCrashed) && !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("problem: %v", err)
			}
		},
	}
	for _, change := range changes {
		change(&config)
	}
	if r.Partition, err = partition.Lead(config); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) close(t *testing.T) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func at(kind partition.PlaceKind) partition.Place { return partition.Place{Kind: kind} }

func atOffset(offset int64) partition.Place {
	return partition.Place{Kind: partition.AtOffset, Offset: offset}
}

func atTime(time int64) partition.Place { return partition.Place{Kind: partition.AtTime, Time: time} }

func message(id, value string) *batch.Record {
	r := &batch.Record{Value: []byte(value)}
	if id != "" {
		r.Headers = []batch.HeaderField{{Name: []byte(batch.MessageIDHeader), Value: []byte(id)}}
	}
	return r
}

// messages is a batch of records whose ids are their values; an empty id is none.
func messages(all ...*batch.Record) partition.Batch {
	var b []byte
	for _, r := range all {
		b = batch.AppendRecord(b, r)
	}
	return partition.Batch{Records: b, Count: len(all), Checksum: batch.Checksum(b), Attributes: batch.HasMessageIDs}
}

// found is a record, or a gap, as a reader got it.
type found struct {
	Offset int64
	Time   int64
	ID     string
	Value  string
	Gap    *batch.Gap
}

// read reads all that the options name, without waiting.
func (r *rig) read(t *testing.T, o partition.ReadOptions) []found {
	t.Helper()
	reader, err := r.Read(o)
	if err != nil {
		t.Fatal(err)
	}
	var all []found
	for {
		chunk, err := reader.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, foundIn(t, chunk.Batches)...)
	}
}

func (r *rig) all(t *testing.T) []found {
	t.Helper()
	return r.read(t, partition.ReadOptions{Start: at(partition.AtEarliest)})
}

func foundIn(t *testing.T, b []byte) []found {
	t.Helper()
	var all []found
	for len(b) > 0 {
		h, err := batch.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if h.Control() {
			c, err := batch.ParseControl(h.BodyOf(b))
			if err != nil {
				t.Fatal(err)
			}
			if c.Kind == batch.ControlGap {
				all = append(all, found{Offset: h.BaseOffset, Time: h.Time, Gap: &c.Gap})
			}
			b = b[h.Size:]
			continue
		}
		list, err := h.RecordsOf(b)
		if err != nil {
			t.Fatal(err)
		}
		var rec batch.Record
		for {
			delta, ok, err := list.Next(&rec)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			all = append(all, found{
				Offset: h.BaseOffset + int64(delta), Time: h.Time, ID: string(rec.MessageID()), Value: string(rec.Value),
			})
		}
		b = b[h.Size:]
	}
	return all
}

// gapsOf are the gaps among what was found.
func gapsOf(all []found) (gaps []batch.Gap) {
	for _, f := range all {
		if f.Gap != nil {
			gaps = append(gaps, *f.Gap)
		}
	}
	return gaps
}

// captured captures a record and waits for its ack.
func (r *rig) captured(t *testing.T, rec *batch.Record, expected *int64) (partition.Ack, error) {
	t.Helper()
	type answer struct {
		ack partition.Ack
		err error
	}
	answers := make(chan answer, 1)
	err := r.CaptureWith(rec, partition.Captured{Expected: expected, OnAck: func(ack partition.Ack, err error) {
		answers <- answer{ack, err}
	}})
	if err != nil {
		return partition.Ack{}, err
	}
	a := <-answers
	return a.ack, a.err
}
