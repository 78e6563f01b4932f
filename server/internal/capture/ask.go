package capture

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/envelope"
)

// Headers of a JetStream publish. A stream that answers as JetStream does honours these two, and refuses the others with
// which a publisher asks for something.
const (
	expectedPrefix       = "Nats-Expected-"
	batchPrefix          = "Nats-Batch-" // of an atomic batch: no part of one is stored
	expectedLastSequence = "Nats-Expected-Last-Sequence"
	expectedStream       = "Nats-Expected-Stream"
)

// ask is what a message asks for besides being stored. Its slices are its own.
type ask struct {
	subject  string // that it was published on
	received int64  // unix nanoseconds

	inbox       string // that an envelope's ack goes to; "": none
	correlation []byte
	policy      envelope.AckPolicy
	reply       string // that a JetStream answer goes to; "": none
}

// asked is what the message that r was read from asks for; nil: nothing. Only a literal subject that is not NATS's own is
// ever answered (protocol.md 2.11).
func (r *recorder) asked(msg *message, s *Settings) *ask {
	switch {
	case r.enveloped && len(r.message.AckInbox) > 0:
		inbox := string(r.message.AckInbox)
		if !answerable(inbox) {
			return nil
		}
		return &ask{
			subject: string(msg.subject), received: time.Now().UnixNano(), inbox: inbox,
			correlation: bytes.Clone(r.message.CorrelationID), policy: r.message.AckPolicy,
		}
	case s.PubAck && len(msg.reply) > 0:
		reply := string(msg.reply)
		if !answerable(reply) {
			return nil
		}
		return &ask{subject: string(msg.subject), received: time.Now().UnixNano(), reply: reply}
	}
	return nil
}

// expectation is the offset that the message must get, on a stream that heeds such wishes: nil if any will do. It is judged
// where the message is appended (protocol.md 2.5). An envelope's wish counts on streams with ExpectedOffsets alone.
func (r *recorder) expectation(msg *message, header nats.Header, s *Settings) (*int64, *refusal) {
	if r.enveloped && s.ExpectedOffsets {
		if offset, ok := r.message.Expect.Offset(); ok && !mutant("capture-expectation-ignored") {
			return &offset, nil
		}
	}
	if !s.PubAck || len(header) == 0 {
		return nil, nil
	}
	if len(msg.reply) > 0 { // who does not ask for an answer could not be told: what came is stored
		if why := refuseWishes(header); why != nil {
			return nil, why
		}
	}
	return jetStreamExpectation(header, s.Stream)
}

// refuseWishes refuses what a publisher asks JetStream to do with a message and what is not done here. Nobody is to believe
// that it was.
func refuseWishes(header nats.Header) *refusal {
	for name := range header {
		switch {
		case name == "Nats-TTL", name == "Nats-Rollup", name == "Nats-Incr",
			name == "Nats-Schedule", strings.HasPrefix(name, "Nats-Schedule-"):
			return refuse(reasonNotBuilt, "header %.64q is not understood; leave it out", name)
		}
	}
	return nil
}

// jetStreamExpectation reads the conditions of a JetStream publish. Sequences begin at 1: the last sequence is the next
// offset.
func jetStreamExpectation(header nats.Header, stream string) (*int64, *refusal) {
	var expected *int64
	for name, values := range header {
		if strings.HasPrefix(name, batchPrefix) {
			return nil, refuse(reasonNotBuilt, "header %.64q is not understood; publish the messages one by one", name)
		}
		if !strings.HasPrefix(name, expectedPrefix) || len(values) == 0 {
			continue
		}
		switch name {
		case expectedLastSequence:
			n, err := strconv.ParseInt(values[0], 10, 64)
			if err != nil || n < 0 {
				return nil, refuse(reasonInvalid, "header %s is %.40q; give the sequence of the last message, 0 if there is none", name, values[0])
			}
			expected = &n
		case expectedStream:
			if values[0] != stream {
				return nil, refuse(reasonWrongStream, "the message is for stream %.128q, and stream %q records its subject; publish elsewhere", values[0], stream)
			}
		default:
			return nil, refuse(reasonNotBuilt, "header %.64q is not understood; leave it out, or use %s", name, expectedLastSequence)
		}
	}
	return expected, nil
}
