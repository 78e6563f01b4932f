package envelope_test

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/envelope"
)

// The way of a message and its ack; NATS carries the two frames.
func Example() {
	// The publisher.
	m := envelope.Message{
		Key:           []byte("sensor-7"),
		Value:         []byte("21.5"),
		Headers:       []envelope.Header{{Name: []byte("unit"), Value: []byte("C")}},
		AckInbox:      []byte("_INBOX.sensor-7"),
		CorrelationID: []byte("42"),
		AckPolicy:     envelope.AckAll,
	}
	frame, err := m.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}

	// The broker. What is no envelope is a plain message.
	captured, err := envelope.Parse(frame)
	if err != nil {
		captured = envelope.Message{Value: frame}
	}
	fmt.Printf("stored %s=%s, to be acked to %s\n", captured.Key, captured.Value, captured.AckInbox)
	answer := envelope.Ack{
		Stream: []byte("temperatures"), Offset: 7,
		AckInbox: captured.AckInbox, CorrelationID: captured.CorrelationID, AckPolicy: captured.AckPolicy,
	}
	frame, err = answer.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}

	// The publisher again.
	ack, err := envelope.ParseAck(frame)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s has it at offset %d, error %v\n", ack.CorrelationID, ack.Stream, ack.Offset, ack.Err())
	// Output:
	// stored sensor-7=21.5, to be acked to _INBOX.sensor-7
	// 42: temperatures has it at offset 7, error <nil>
}

// A message that must get a certain offset, and is refused.
func ExampleExpectOffset() {
	m := envelope.Message{Value: []byte("21.5"), AckInbox: []byte("_INBOX.a"), Expect: envelope.ExpectOffset(7)}
	offset, ok := m.Expect.Offset()
	fmt.Println(offset, ok)

	ack := envelope.Ack{Stream: []byte("temperatures"), Error: envelope.IncorrectOffset, Reason: []byte("the next offset is 9")}
	err := ack.Err()
	fmt.Println(errors.Is(err, envelope.ErrRefused), ack.Error == envelope.IncorrectOffset)
	fmt.Println(err)
	// Output:
	// 7 true
	// true true
	// envelope: message refused by stream "temperatures": incorrect expected offset: "the next offset is 9"
}
