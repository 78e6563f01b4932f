package capture

import (
	"encoding/base64"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/fanout"
)

// BadHeadersName is the header that marks a record whose NATS headers could not be read: they are not stored, the
// payload is.
const BadHeadersName = "Trestle-Bad-Headers"

// recorder turns NATS messages into records. What it holds is valid until its next call. It is a pure function of the
// message but for the memory that it uses again.
type recorder struct {
	record batch.Record
	// message is the envelope that the payload is; enveloped says that it is one.
	message   envelope.Message
	enveloped bool

	text  []byte // names and values of headers
	names []string
}

// of is the record of a message with that header. A payload that is no whole envelope is the value of a plain message, whatever
// it begins with; so is any payload of a message that is plain. Headers are those of the envelope, then those of NATS by name: the
// values of one name keep their order.
func (r *recorder) of(msg *message, header nats.Header, plain bool) *batch.Record {
	r.text = r.text[:0]
	r.record = batch.Record{Headers: r.record.Headers[:0], Subject: msg.subject, Reply: msg.reply, Value: msg.data}
	if r.enveloped = !plain && r.message.Unmarshal(msg.data) == nil; r.enveloped {
		r.record.Key, r.record.Value = r.message.Key, r.message.Value
		for _, h := range r.message.Headers {
			r.record.Headers = append(r.record.Headers, batch.HeaderField{Name: h.Name, Value: h.Value})
		}
	}
	if r.record.Value == nil {
		r.record.Value = []byte{} // an empty value is an empty value
	}
	if len(msg.header) == 0 {
		return &r.record
	}
	r.grow(header)
	if header == nil {
		r.addHeader(BadHeadersName, "1")
	}
	r.addHeaders(header)
	return &r.record
}

// headerOf reads the header of a message as NATS clients do; nil: there is none, or it cannot be read.
func (s *Source) headerOf(msg *message) nats.Header {
	if len(msg.header) == 0 {
		return nil
	}
	header, err := nats.DecodeHeadersMsg(msg.header)
	if err != nil {
		if s.counters.badHeaders.Add(1) == 1 {
			s.config.Logger.Warn("a message had headers that cannot be read; it is stored without them, as are others from now on", "subject", string(msg.subject))
		}
		return nil
	}
	return header
}

func (r *recorder) addHeaders(header nats.Header) {
	r.names = r.names[:0]
	for name := range header {
		r.names = append(r.names, name)
	}
	slices.Sort(r.names)
	for _, name := range r.names {
		for _, value := range header[name] {
			if !r.understood(name, value) {
				r.addHeader(name, value)
			}
		}
	}
}

// understood takes in a header that is meant for us; it is not stored then.
func (r *recorder) understood(name, value string) bool {
	switch name {
	case fanout.OriginName:
		return true // verified or not: it has done what it is for
	case fanout.KeyName:
		if r.record.Key != nil {
			return false
		}
		key, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return false
		}
		r.record.Key = key
		return true
	case fanout.TombstoneName:
		r.record.Tombstone = r.record.Tombstone || value == "1"
		return value == "1"
	}
	return false
}

func (r *recorder) addHeader(name, value string) {
	r.record.Headers = append(r.record.Headers, batch.HeaderField{Name: r.put(name), Value: r.put(value)})
}

// grow makes room in text for all headers, so that what put returned stays where it is.
func (r *recorder) grow(header nats.Header) {
	n := len(BadHeadersName) + 1
	for name, values := range header {
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
