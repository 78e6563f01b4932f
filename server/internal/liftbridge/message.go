package liftbridge

import (
	"slices"
	"strings"

	"github.com/trestlehq/trestle/proto/batch"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

// Headers that every message is delivered with, whatever its own of these names say.
const (
	subjectHeader = "subject"
	replyHeader   = "reply"
)

// messages makes those of Liftbridge out of the records of one partition.
type messages struct {
	stream    string
	partition int32
	subject   string // of records that name none
}

// encodedRecord is a record before it is taken apart.
type encodedRecord struct {
	content []byte
	delta   int32 // of its offset to the batch's
}

// each hands on the messages of batches, in order; backwards, those of each batch newest first. Gaps and other control
// batches are passed over. A message is valid until each returns.
func (m *messages) each(batches []byte, backwards bool, hand func(*liftbridgepb.Message) error) error {
	for len(batches) > 0 {
		h, err := batch.ParseHeader(batches)
		if err != nil {
			return err
		}
		if !h.Control() {
			if err := m.eachOf(&h, batches, backwards, hand); err != nil {
				return err
			}
		}
		batches = batches[h.Size:]
	}
	return nil
}

func (m *messages) eachOf(h *batch.Header, b []byte, backwards bool, hand func(*liftbridgepb.Message) error) error {
	records, err := h.RecordsOf(b)
	if err != nil {
		return err
	}
	var all []encodedRecord
	for {
		content, delta, ok, err := records.NextRaw()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		all = append(all, encodedRecord{content, delta})
	}
	if backwards {
		slices.Reverse(all)
	}
	for _, one := range all {
		var r batch.Record
		if err := r.Parse(one.content); err != nil {
			return err
		}
		if len(r.Subject) == 0 {
			r.Subject = records.Subject
		}
		if len(r.Reply) == 0 {
			r.Reply = records.Reply
		}
		if err := hand(m.of(&r, h.BaseOffset+int64(one.delta), h.Time)); err != nil {
			return err
		}
	}
	return nil
}

// of is a record as Liftbridge shows it. Text that is no UTF-8 is made so: nothing else fits fields of type string.
func (m *messages) of(r *batch.Record, offset, time int64) *liftbridgepb.Message {
	subject, reply := string(r.Subject), string(r.Reply)
	if subject == "" {
		subject = m.subject
	}
	message := &liftbridgepb.Message{
		Offset: offset, Key: r.Key, Value: r.Value, Timestamp: time, Stream: m.stream, Partition: m.partition,
		Subject: valid(subject), ReplySubject: valid(reply), Headers: make(map[string][]byte, len(r.Headers)+2),
	}
	for _, h := range r.Headers {
		message.Headers[valid(string(h.Name))] = h.Value
	}
	message.Headers[subjectHeader], message.Headers[replyHeader] = []byte(subject), []byte(reply)
	return message
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
