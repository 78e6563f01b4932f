// Package envelope makes and reads the frames by which a publisher with a plain NATS client gives a message a key,
// headers and an expected offset, and is told where it was stored. It speaks Liftbridge's envelope protocol and needs
// neither a NATS client nor a broker's code.
//
// Nobody needs an envelope to publish: any payload on a stream's subject is stored. What an envelope adds is in Message.
//
//	byte  0             4         5          6       7      8                          header length
//	     ┌─────────────┬─────────┬──────────┬───────┬──────┬──────────────────────────┬────────────────────┐
//	     │ B9 0E 43 B4 │ version │ header   │ flags │ type │ CRC-32C of the payload,  │ payload (protobuf) │
//	     │             │ 00      │ length   │       │      │ big endian, if flag 01   │                    │
//	     └─────────────┴─────────┴──────────┴───────┴──────┴──────────────────────────┴────────────────────┘
//
// The header length is 8, or 12 with a CRC. Type 0 is a message, type 1 an ack.
//
// # Publish and wait for the ack
//
// Listen on an inbox of your own before you publish, put a correlation id of your own into the message, and take the
// ack that carries it. With nats.go:
//
//	sub, err := nc.SubscribeSync(nats.NewInbox())
//	m := envelope.Message{
//		Key:           []byte("sensor-7"),
//		Value:         []byte("21.5"),
//		AckInbox:      []byte(sub.Subject),
//		CorrelationID: []byte("42"),
//		AckPolicy:     envelope.AckAll,
//	}
//	frame, err := m.Marshal()
//	err = nc.Publish("sensors.temp", frame)
//	reply, err := sub.NextMsgWithContext(ctx)
//	ack, err := envelope.ParseAck(reply.Data)
//	err = ack.Err() // nil: stored at ack.Offset of ack.Stream
//
// No ack within your patience means that the outcome is unknown: the message may or may not be stored. If several
// streams record the subject, each answers; Ack.Stream tells them apart.
//
// # What a broker does
//
// A broker parses each payload that it captures. Whatever Parse refuses is stored whole, as a plain message: nothing
// that is published on a subject is lost for its form, and nothing makes Parse panic. Parse does not copy: what it
// returns lies in the frame and is valid for as long as the frame is left alone.
//
// # Text is bytes
//
// Subjects, names and ids are byte slices, written and returned as they are, because NATS does not ask for UTF-8. A
// Liftbridge client or broker refuses a frame whose subjects, ids or header names are not UTF-8.
package envelope
