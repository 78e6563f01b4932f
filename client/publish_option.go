package client

import (
	"github.com/trestlehq/trestle/proto/batch"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// PublishOption of Publish, PublishMessage and PublishBatch. Those about a message hold for every message of a batch.
type PublishOption func(*publishing)

// publishing is what the options of a publish set.
type publishing struct {
	key        []byte // nil: that of the message
	headers    []batch.HeaderField
	id         []byte // nil: none
	subject    string // empty: that of the message
	partition  *int32 // nil: the server chooses, unless there is by
	by         Partitioner
	chosenOf   uint32 // partitions, by a key or an ID; 0: not so
	expectNext *int64
	ack        trestlev1.AckPolicy
	err        error // the first option that makes no sense
}

// Key gives the message its key, by which it finds its partition.
func Key[T ~string | ~[]byte](k T) PublishOption {
	key := append([]byte{}, k...)
	return func(p *publishing) { p.key = key }
}

// Header adds a header behind those that the message has.
func Header[T ~string | ~[]byte](name string, value T) PublishOption {
	field := batch.HeaderField{Name: []byte(name), Value: append([]byte{}, value...)}
	return func(p *publishing) { p.headers = append(p.headers, field) }
}

// ID names the message, so that within the stream's dedup window it is stored once however often it is published. It is
// the header Nats-Msg-Id, as NATS clients set it.
func ID(id string) PublishOption {
	return func(p *publishing) { p.id = []byte(id) }
}

// AckNone returns when the partition's leader has written the message, before it is fsynced, whatever the stream's Sync says:
// a power cut may take it then. A refusal is told.
func AckNone() PublishOption {
	return func(p *publishing) { p.ack = trestlev1.AckPolicy_ACK_POLICY_NONE }
}

// AckLeader returns when the partition's leader has stored the message: fsynced, unless the stream's Sync asks for less.
func AckLeader() PublishOption {
	return func(p *publishing) { p.ack = trestlev1.AckPolicy_ACK_POLICY_LEADER }
}

// AckAll returns when every replica in sync has stored the message, in the sense of AckLeader. It is the default.
func AckAll() PublishOption {
	return func(p *publishing) { p.ack = trestlev1.AckPolicy_ACK_POLICY_ALL }
}

// ExpectNext has the message, or the first of a batch, stored at that offset or not at all: ErrWrongOffset.
func ExpectNext(offset int64) PublishOption {
	return func(p *publishing) { p.expectNext = &offset }
}

// OnSubject says which of the stream's subjects the message is on, for streams that record a wildcard.
func OnSubject(subject string) PublishOption {
	return func(p *publishing) { p.subject = subject }
}

// To publishes to that partition. Without it the server chooses: by the stream's hash of the key, else of the ID, else
// in turn; for a batch as a whole.
func To(partition int) PublishOption {
	return func(p *publishing) {
		n, err := partitionNumber(partition)
		if err != nil && p.err == nil {
			p.err = err
		}
		p.partition = &n
	}
}

// PartitionBy has p choose the partition, instead of the server; of a batch as a whole by its first message.
func PartitionBy(p Partitioner) PublishOption {
	return func(o *publishing) { o.by = p }
}
