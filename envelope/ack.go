package envelope

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Ack is a broker's answer to one message: where it was stored, or why it was not.
type Ack struct {
	// Stream that answers. Each stream on the subject answers for itself.
	Stream []byte
	// PartitionSubject is the subject that the partition listens on, wildcards included.
	PartitionSubject []byte
	// Subject is the one that the message was published on.
	Subject []byte
	// Offset of the message in its partition; of no meaning in a negative ack.
	Offset int64
	// AckInbox, CorrelationID and AckPolicy are those of the message.
	AckInbox      []byte
	CorrelationID []byte
	AckPolicy     AckPolicy
	// ReceptionTime is when the leader took the message, Unix time in nanoseconds; 0: not said.
	ReceptionTime int64
	// CommitTime is when the message was committed or, with AckLeader, acknowledged: Unix time in nanoseconds; 0: not said.
	CommitTime int64
	// Error is NoError, or why the message is not stored. It is what makes an ack a negative one.
	Error AckError
	// Reason says the same in words, with the remedy. Liftbridge does not know it.
	Reason []byte
	// Checksum is as in Message.
	Checksum bool
}

// AckError is the number of a refusal, and part of the protocol. Other numbers than those named here can come off the wire.
type AckError int32

// Numbers of refusals. Each says that the message is not stored.
const (
	NoError          AckError = 0 // stored
	UnknownError     AckError = 1
	IncorrectOffset  AckError = 2 // the message would not get the offset that it expects
	TooLarge         AckError = 3 // larger than what the stream takes
	EncryptionFailed AckError = 4

	// FirstExtension is the first number that Liftbridge does not know. Numbers from here on come with a Reason.
	FirstExtension AckError = 100

	Paused      AckError = FirstExtension + 0 // the partition is paused: publish again once it is resumed
	ReadOnly    AckError = FirstExtension + 1 // the partition is read-only
	DiskFull    AckError = FirstExtension + 2 // the broker's disk is full: free some of it
	Overloaded  AckError = FirstExtension + 3 // more messages wait for the disk than the broker holds: publish more slowly
	Unavailable AckError = FirstExtension + 4 // the broker stops, or the partition has failed: publish again later
)

// String describes the refusal.
func (e AckError) String() string {
	switch e {
	case NoError:
		return "no error"
	case UnknownError:
		return "unknown error"
	case IncorrectOffset:
		return "incorrect expected offset"
	case TooLarge:
		return "message too large"
	case EncryptionFailed:
		return "encryption failed"
	case Paused:
		return "partition paused"
	case ReadOnly:
		return "partition read-only"
	case DiskFull:
		return "disk full"
	case Overloaded:
		return "too much waits for the disk"
	case Unavailable:
		return "broker stopping or partition failed"
	default:
		return fmt.Sprintf("error %d", int32(e))
	}
}

// Err returns nil for a message that is stored, else an error that wraps ErrRefused and says what a.Error and a.Reason say.
func (a *Ack) Err() error {
	switch {
	case a.Error == NoError:
		return nil
	case len(a.Reason) == 0:
		return fmt.Errorf("%w by stream %q: %v", ErrRefused, a.Stream, a.Error)
	default:
		return fmt.Errorf("%w by stream %q: %v: %q", ErrRefused, a.Stream, a.Error, a.Reason)
	}
}

// Tags of the fields of a Liftbridge Ack, and of ours.
const (
	tagAckStream           = 1<<3 | uint64(protowire.BytesType)
	tagAckPartitionSubject = 2<<3 | uint64(protowire.BytesType)
	tagAckSubject          = 3<<3 | uint64(protowire.BytesType)
	tagAckOffset           = 4<<3 | uint64(protowire.VarintType)
	tagAckAckInbox         = 5<<3 | uint64(protowire.BytesType)
	tagAckCorrelationID    = 6<<3 | uint64(protowire.BytesType)
	tagAckAckPolicy        = 7<<3 | uint64(protowire.VarintType)
	tagAckReceptionTime    = 8<<3 | uint64(protowire.VarintType)
	tagAckCommitTime       = 9<<3 | uint64(protowire.VarintType)
	tagAckError            = 10<<3 | uint64(protowire.VarintType)
	tagAckReason           = 100<<3 | uint64(protowire.BytesType)
)

// Marshal returns the frame of the ack; see Append.
func (a *Ack) Marshal() ([]byte, error) { return a.Append(nil) }

// Append appends the frame of the ack to dst. It fails with ErrTooLarge, and then returns dst as it was.
func (a *Ack) Append(dst []byte) ([]byte, error) {
	size := 0
	for _, f := range a.fields() {
		size += f.size()
	}
	start := len(dst)
	dst, err := beginFrame(dst, typeAck, a.Checksum, size)
	if err != nil {
		return dst, err
	}
	for _, f := range a.fields() {
		dst = f.append(dst)
	}
	sealFrame(dst[start:])
	return dst, nil
}

// fields returns the fields of the ack in the order of their numbers.
func (a *Ack) fields() [11]field {
	return [...]field{
		{tag: tagAckStream, content: nonEmpty(a.Stream)},
		{tag: tagAckPartitionSubject, content: nonEmpty(a.PartitionSubject)},
		{tag: tagAckSubject, content: nonEmpty(a.Subject)},
		{tag: tagAckOffset, varint: uint64(a.Offset)},
		{tag: tagAckAckInbox, content: nonEmpty(a.AckInbox)},
		{tag: tagAckCorrelationID, content: nonEmpty(a.CorrelationID)},
		{tag: tagAckAckPolicy, varint: uint64(a.AckPolicy)},
		{tag: tagAckReceptionTime, varint: uint64(a.ReceptionTime)},
		{tag: tagAckCommitTime, varint: uint64(a.CommitTime)},
		{tag: tagAckError, varint: uint64(a.Error)},
		{tag: tagAckReason, content: nonEmpty(a.Reason)},
	}
}

// ParseAck reads a frame. What it returns lies in the frame, and nothing is allocated. An ack that says nothing, not
// even its stream, is valid. It fails with ErrNotEnvelope, ErrUnsupported, ErrChecksum, ErrMalformed or ErrTooLarge.
func ParseAck(frame []byte) (Ack, error) {
	payload, checked, err := openFrame(frame, typeAck)
	if err != nil {
		return Ack{}, err
	}
	a := Ack{Checksum: checked}
	for len(payload) > 0 {
		f, n, err := nextField(payload)
		if err != nil {
			return Ack{}, err
		}
		a.set(f)
		payload = payload[n:]
	}
	return a, nil
}

func (a *Ack) set(f field) {
	switch f.tag {
	case tagAckStream:
		a.Stream = f.content
	case tagAckPartitionSubject:
		a.PartitionSubject = f.content
	case tagAckSubject:
		a.Subject = f.content
	case tagAckOffset:
		a.Offset = int64(f.varint)
	case tagAckAckInbox:
		a.AckInbox = f.content
	case tagAckCorrelationID:
		a.CorrelationID = f.content
	case tagAckAckPolicy:
		a.AckPolicy = AckPolicy(f.varint)
	case tagAckReceptionTime:
		a.ReceptionTime = int64(f.varint)
	case tagAckCommitTime:
		a.CommitTime = int64(f.varint)
	case tagAckError:
		a.Error = AckError(f.varint)
	case tagAckReason:
		a.Reason = f.content
	}
}
