package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// verified is a batch whose checksums are right.
type verified struct {
	batch.Header
	bytes []byte
}

// verify appends to dst the batches that the chunk begins with, up to the first that is not as it was written, which is
// the error.
func verify(dst []verified, chunk []byte) ([]verified, error) {
	for len(chunk) > 0 {
		h, err := batch.Parse(chunk)
		if err != nil {
			return dst, err
		}
		dst = append(dst, verified{h, chunk[:h.Size:h.Size]})
		chunk = chunk[h.Size:]
	}
	return dst, nil
}

// decoder makes messages of the batches of one partition. They alias the batches.
type decoder struct {
	stream    string
	partition int

	// Of the batch at hand.
	records *batch.Records
	base    int64
	epoch   uint64
	time    time.Time

	record  batch.Record  // its memory is used again
	headers []HeaderField // room for the headers of further messages
	subject lastString
	reply   lastString
	names   map[string]string // of headers
}

// begin goes to a batch, given by its header and its records.
func (d *decoder) begin(records *batch.Records, h *batch.Header) {
	d.records, d.base, d.epoch, d.time = records, h.BaseOffset, h.LeaderEpoch, time.Unix(0, h.Time)
}

// next sets m to the next message of the batch, which must have one more.
func (d *decoder) next(m *Message) error {
	delta, ok, err := d.records.Next(&d.record)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%w: a record is missing", batch.ErrCorrupt)
	}
	*m = Message{
		Stream: d.stream, Partition: d.partition, Offset: d.base + int64(delta), LeaderEpoch: d.epoch, Time: d.time,
		Subject: d.subject.of(d.record.Subject), Reply: d.reply.of(d.record.Reply),
		Key: d.record.Key, Value: d.record.Value, Headers: d.headerFields(), Tombstone: d.record.Tombstone,
	}
	return nil
}

// headerFields are those of the record, cut off from memory that is made for those of many.
func (d *decoder) headerFields() []HeaderField {
	n := len(d.record.Headers)
	if n == 0 {
		return nil
	}
	if cap(d.headers)-len(d.headers) < n {
		const room = 256
		d.headers = make([]HeaderField, 0, max(room, n))
	}
	from := len(d.headers)
	for i := range d.record.Headers {
		f := &d.record.Headers[i]
		d.headers = append(d.headers, HeaderField{Name: d.name(f.Name), Value: f.Value})
	}
	return d.headers[from:len(d.headers):len(d.headers)]
}

// name is the name of a header as a string, the same for all headers of that name. Few streams have many names; those
// of one that has are not all kept.
func (d *decoder) name(b []byte) string {
	const most = 64
	if name, ok := d.names[string(b)]; ok {
		return name
	}
	if d.names == nil || len(d.names) == most {
		d.names = map[string]string{}
	}
	name := string(b)
	d.names[name] = name
	return name
}

// lastString makes strings of bytes, one for those that are equal and follow one another.
type lastString string

func (l *lastString) of(b []byte) string {
	if string(b) != string(*l) {
		*l = lastString(b)
	}
	return string(*l)
}

// gapIn is the gap that a control batch records, nil if it records something else.
func gapIn(b *verified) (*Gap, error) {
	c, err := batch.ParseControl(b.BodyOf(b.bytes))
	if err != nil || c.Kind != batch.ControlGap {
		return nil, err
	}
	return &Gap{
		Offset:  b.BaseOffset,
		Cause:   gapCause(trestlev1.GapCause(c.Gap.Cause)),
		From:    time.Unix(0, c.Gap.FromTime),
		To:      time.Unix(0, c.Gap.ToTime),
		AtLeast: c.Gap.AtLeast,
	}, nil
}

// errUnreadable is a batch that is in order, but not for this client.
var errUnreadable = errors.New("its form is not known")

func unreadable(h *batch.Header) error {
	switch {
	case h.Attributes&batch.Encrypted != 0:
		return fmt.Errorf("%w: its values are encrypted", errUnreadable)
	case h.Body == batch.BodyPacked:
		return fmt.Errorf("%w: it is packed by codec %d", errUnreadable, h.Codec())
	default:
		return nil
	}
}
