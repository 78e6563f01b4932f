package commitlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/proto/batch"
)

// simRecord is a record of the model, with the defaults of its batch filled in.
type simRecord struct {
	offset int64
	batch.Record
	gone bool // compaction removed it
}

// simBatch is a batch of the model.
type simBatch struct {
	at      commitlog.Position
	next    int64 // offset that follows
	epoch   uint64
	time    int64
	control bool
	records []simRecord
	bytes   []byte // as they must lie in the log; nil: only what they mean is known
	size    int64  // in the log, as last read
}

func (b *simBatch) visible() bool {
	for i := range b.records {
		if !b.records[i].gone {
			return true
		}
	}
	return b.control
}

// simDraft is a batch before it is appended.
type simDraft struct {
	bytes   []byte
	control bool
	records []batch.Record
}

// place is the batch of the model that a draft becomes at a position.
func (d *simDraft) place(at commitlog.Position, epoch uint64, time int64) simBatch {
	b := simBatch{at: at, epoch: epoch, time: time, control: d.control, next: at.Offset + int64(len(d.records))}
	for i, r := range d.records {
		b.records = append(b.records, simRecord{offset: at.Offset + int64(i), Record: r})
	}
	return b
}

var simSubject = []byte("orders.eu")

// draftControl is a control batch of a random kind; a new epoch begins with that of its kind.
func draftControl(rng *rand.Rand, newEpoch bool, epoch uint64) simDraft {
	c := batch.Control{Kind: batch.ControlEpoch, Epoch: epoch}
	switch kind := rng.IntN(3); {
	case newEpoch || kind == 0:
	case kind == 1:
		c = batch.Control{Kind: batch.ControlGap, Gap: batch.Gap{Cause: batch.GapDiskFull, FromTime: 1, ToTime: 2, AtLeast: rng.Uint64N(9)}}
	default:
		c = batch.Control{Kind: batch.ControlUnclean, Unclean: batch.Unclean{LeaderEpoch: epoch, LostFromOffset: rng.Int64N(9)}}
	}
	return simDraft{bytes: batch.AppendControl(nil, &c), control: true}
}

// draftRecords is a batch of a client or, with a default subject, a captured one.
func draftRecords(rng *rand.Rand, keys, largest int) simDraft {
	var d simDraft
	var b batch.Builder
	attributes := batch.Attributes(0)
	subject := []byte(nil)
	if rng.IntN(2) == 0 {
		attributes, subject = batch.Captured, simSubject
	}
	b.Reset(subject)
	for range 1 + rng.IntN(1+rng.IntN(8)) {
		r := batch.Record{Subject: subject, Value: simValue(rng, largest)}
		if rng.IntN(4) > 0 {
			r.Key = fmt.Appendf(nil, "key-%d", rng.IntN(keys))
			if rng.IntN(5) == 0 {
				r.Tombstone, r.Value = true, nil
			}
		}
		if rng.IntN(8) == 0 {
			r.Subject, r.Reply = []byte("orders.us"), []byte("_INBOX.1")
		}
		b.Append(&r)
		d.records = append(d.records, r)
	}
	d.bytes = bytes.Clone(b.Finish(attributes))
	return d
}

func simValue(rng *rand.Rand, largest int) []byte {
	n := rng.IntN(60)
	if rng.IntN(6) == 0 {
		n = rng.IntN(largest + 1)
	}
	v := bytes.Repeat([]byte{byte(rng.Uint32())}, n)
	for i := range min(n, 8) {
		v[i] = byte(rng.Uint32())
	}
	return v
}

// compare says what is wrong with a batch that was read where b is expected, and marks records that are missing in seen.
func (b *simBatch) compare(h *batch.Header, got []byte, codec commitlog.Codec, seen map[int64]bool) error {
	if h.Seq != b.at.Seq || h.BaseOffset != b.at.Offset || h.NextOffset() != b.next || h.LeaderEpoch != b.epoch ||
		h.Time != b.time || h.Control() != b.control {
		return fmt.Errorf("read seq %d offset %d to %d epoch %d time %d, want %v to %d epoch %d time %d",
			h.Seq, h.BaseOffset, h.NextOffset(), h.LeaderEpoch, h.Time, b.at, b.next, b.epoch, b.time)
	}
	if bytes.Equal(got, b.bytes) {
		for i := range b.records {
			seen[b.records[i].offset] = true
		}
		return nil
	}
	if b.control {
		if b.bytes != nil {
			return fmt.Errorf("control batch at %v has other bytes", b.at)
		}
		return nil
	}
	plain, err := commitlog.Unpack(nil, h, got, codec)
	if err != nil {
		return err
	}
	ph, err := batch.ParseHeader(plain)
	if err != nil {
		return err
	}
	return b.compareRecords(&ph, plain, seen)
}

func (b *simBatch) compareRecords(h *batch.Header, plain []byte, seen map[int64]bool) error {
	list, err := h.RecordsOf(plain)
	if err != nil {
		return err
	}
	var r batch.Record
	last := int64(-1)
	for {
		delta, ok, err := list.Next(&r)
		if err != nil || !ok {
			return err
		}
		offset := h.BaseOffset + int64(delta)
		if offset <= last || offset >= b.next {
			return fmt.Errorf("offset %d after %d in the batch at %v", offset, last, b.at)
		}
		last = offset
		want := &b.records[offset-b.at.Offset]
		if !equalRecords(&want.Record, &r) {
			return fmt.Errorf("the record at offset %d is not what was appended", offset)
		}
		if want.gone {
			return fmt.Errorf("the record at offset %d was removed and is back", offset)
		}
		seen[offset] = true
	}
}

func equalRecords(a, b *batch.Record) bool {
	return bytes.Equal(a.Key, b.Key) && (a.Key == nil) == (b.Key == nil) && bytes.Equal(a.Value, b.Value) &&
		bytes.Equal(a.Subject, b.Subject) && bytes.Equal(a.Reply, b.Reply) && a.Tombstone == b.Tombstone
}

// runLengths is a codec that stores runs of equal bytes.
type runLengths struct{}

func (runLengths) Encode(dst, src []byte) []byte {
	for len(src) > 0 {
		n := 1
		for n < len(src) && n < 255 && src[n] == src[0] {
			n++
		}
		dst = append(dst, byte(n), src[0])
		src = src[n:]
	}
	return dst
}

func (runLengths) Decode(dst, src []byte, limit int) ([]byte, error) {
	for ; len(src) >= 2; src = src[2:] {
		if len(dst)+int(src[0]) > limit {
			return nil, errors.New("too long")
		}
		for range src[0] {
			dst = append(dst, src[1])
		}
	}
	return dst, nil
}
