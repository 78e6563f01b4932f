package rpc

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// messages takes batches apart for VIEW_MESSAGES, for readers that do not care for cost.
type messages struct {
	batches   []byte // what is left, but for the current batch
	backwards bool

	header  batch.Header // of the current batch
	records batch.Records
	left    []encodedRecord    // of the current batch, in the order of delivery
	gap     *trestlev1.Message // the current batch, if it is one
	next    *trestlev1.Message // what was taken apart and did not fit the last page
}

// encodedRecord is a record before it is taken apart.
type encodedRecord struct {
	content []byte
	delta   int32 // of its offset to the batch's
}

// page returns as many messages as fit the bytes, and at least one; none: that was all. With most > 0 it returns no more
// records than that.
func (m *messages) page(bytes, most int) ([]*trestlev1.Message, error) {
	var page []*trestlev1.Message
	for size, records := 0, 0; most == 0 || records < most; {
		message, err := m.peek()
		if err != nil || message == nil {
			return page, err
		}
		size += proto.Size(message)
		if len(page) > 0 && size > bytes {
			return page, nil
		}
		if page, m.next = append(page, message), nil; message.Record != nil {
			records++
		}
	}
	return page, nil
}

// peek is the message that comes next; nil: there is none.
func (m *messages) peek() (*trestlev1.Message, error) {
	for m.next == nil {
		switch {
		case m.gap != nil:
			m.next, m.gap = m.gap, nil
		case len(m.left) > 0:
			var err error
			if m.next, err = m.message(m.left[0]); err != nil {
				return nil, err
			}
			m.left = m.left[1:]
		case len(m.batches) == 0:
			return nil, nil
		default:
			if err := m.open(); err != nil {
				return nil, err
			}
		}
	}
	return m.next, nil
}

// open makes the next batch the current one.
func (m *messages) open() (err error) {
	b := m.batches
	if m.header, err = batch.ParseHeader(b); err != nil {
		return err
	}
	m.batches = b[m.header.Size:]
	if m.header.Control() {
		return m.openControl(b)
	}
	if m.records, err = m.header.RecordsOf(b); err != nil {
		return err
	}
	m.left = make([]encodedRecord, 0, m.records.Count)
	for {
		content, delta, ok, err := m.records.NextRaw()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		m.left = append(m.left, encodedRecord{content, delta})
	}
	if m.backwards {
		slices.Reverse(m.left)
	}
	return nil
}

// openControl makes a message of a gap; readers of messages are shown no other control batch.
func (m *messages) openControl(b []byte) error {
	control, err := batch.ParseControl(m.header.BodyOf(b))
	if err != nil || control.Kind != batch.ControlGap {
		return err
	}
	gap := &trestlev1.Gap{
		Cause: trestlev1.GapCause(control.Gap.Cause), FromTime: control.Gap.FromTime, ToTime: control.Gap.ToTime,
	}
	if control.Gap.Counted {
		gap.AtLeast = &control.Gap.AtLeast
	}
	m.gap = &trestlev1.Message{Offset: m.header.BaseOffset, Time: m.header.Time, LeaderEpoch: m.header.LeaderEpoch, Gap: gap}
	return nil
}

// message takes a record apart. It aliases the batch.
func (m *messages) message(e encodedRecord) (*trestlev1.Message, error) {
	var r batch.Record
	if err := r.Parse(e.content); err != nil {
		return nil, err
	}
	record := &trestlev1.Record{
		Key: r.Key, Value: r.Value, Subject: r.Subject, Reply: r.Reply, Tombstone: r.Tombstone, SchemaId: r.SchemaID,
	}
	if len(record.Subject) == 0 {
		record.Subject = m.records.Subject
	}
	if len(record.Reply) == 0 {
		record.Reply = m.records.Reply
	}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, &trestlev1.Header{Name: h.Name, Value: h.Value})
	}
	return &trestlev1.Message{
		Offset: m.header.BaseOffset + int64(e.delta), Time: m.header.Time, Record: record, LeaderEpoch: m.header.LeaderEpoch,
	}, nil
}
