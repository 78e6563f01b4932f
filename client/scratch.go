package client

import "github.com/trestlehq/trestle/proto/batch"

// scratch is memory in which a record is put together that has more than a key and a value.
type scratch struct {
	text    []byte
	headers []batch.HeaderField
}

// fill sets r, which is zero, to what is stored of a message. It aliases the message, and the scratch until that is used for
// the next.
func (s *scratch) fill(r *batch.Record, m *Message) {
	r.Key, r.Value, r.Tombstone = m.Key, m.Value, m.Tombstone
	if m.Subject != "" || m.Reply != "" || len(m.Headers) > 0 {
		s.describe(r, m)
	}
}

// describe adds subject, reply and headers.
func (s *scratch) describe(r *batch.Record, m *Message) {
	s.text, s.headers = s.text[:0], s.headers[:0]
	r.Subject, r.Reply = s.bytes(m.Subject), s.bytes(m.Reply)
	for i := range m.Headers {
		s.headers = append(s.headers, batch.HeaderField{Name: s.bytes(m.Headers[i].Name), Value: m.Headers[i].Value})
	}
	r.Headers = s.headers
}

// bytes are those of a string, behind the others of the same record.
func (s *scratch) bytes(of string) []byte {
	from := len(s.text)
	s.text = append(s.text, of...)
	return s.text[from:]
}
