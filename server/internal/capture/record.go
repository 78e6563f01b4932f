package capture

import (
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/proto/batch"
)

// BadHeadersName is the header that marks a message whose NATS headers could not be read: they are not stored, the
// payload is.
const BadHeadersName = "Trestle-Bad-Headers"

// recorder turns NATS messages into records. What it returns is valid until its next call. It is a pure function of the
// message but for the memory that it uses again.
type recorder struct {
	record batch.Record
	text   []byte // subject, reply, and the names and values of headers
	names  []string
}

// of is the record of a plain message. Names of headers are sorted: NATS clients hand them out as a map. The values of
// one name keep their order.
func (r *recorder) of(msg *nats.Msg) *batch.Record {
	r.text = r.text[:0]
	r.record.Headers = r.record.Headers[:0]
	r.grow(msg)
	r.record.Subject = r.put(msg.Subject)
	r.record.Reply = r.put(msg.Reply)
	r.record.Value = msg.Data
	if r.record.Value == nil {
		r.record.Value = []byte{} // an empty value is an empty value
	}
	if badHeaders(msg) {
		r.addHeader(BadHeadersName, "1")
	}
	if len(msg.Header) > 0 {
		r.addHeaders(msg.Header)
	}
	return &r.record
}

// badHeaders says whether the message had headers that the NATS client could not read: it counts their bytes and drops
// them.
func badHeaders(msg *nats.Msg) bool {
	return msg.Header == nil && msg.Sub != nil && msg.Size() > len(msg.Subject)+len(msg.Reply)+len(msg.Data)
}

func (r *recorder) addHeaders(header nats.Header) {
	r.names = r.names[:0]
	for name := range header {
		r.names = append(r.names, name)
	}
	slices.Sort(r.names)
	for _, name := range r.names {
		for _, value := range header[name] {
			r.addHeader(name, value)
		}
	}
}

func (r *recorder) addHeader(name, value string) {
	r.record.Headers = append(r.record.Headers, batch.HeaderField{Name: r.put(name), Value: r.put(value)})
}

// grow makes room in text for all of a message, so that what put returned stays where it is.
func (r *recorder) grow(msg *nats.Msg) {
	n := len(msg.Subject) + len(msg.Reply) + len(BadHeadersName) + 1
	for name, values := range msg.Header {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	r.text = slices.Grow(r.text, n)
}

func (r *recorder) put(s string) []byte {
	at := len(r.text)
	r.text = append(r.text, s...)
	return r.text[at:len(r.text):len(r.text)]
}
