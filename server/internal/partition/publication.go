package partition

import (
	"errors"

	"github.com/trestlehq/trestle/proto/batch"
)

// ErrOutcomeUnknown means that what was published may or may not be stored.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// Batch is what one publish brings: encoded Records that passed batch.CheckRecords.
type Batch struct {
	Records     []byte
	Count       int
	Attributes  batch.Attributes
	Checksum    uint32 // CRC-32C of Records
	ProducerID  uint64
	ProducerSeq uint32
	Expected    *int64 // offset that the first record must get; nil: whatever it is
	WhenWritten bool   // answer when the batch is written, before it is durable
}

// Ack says where a batch is.
type Ack struct {
	BaseOffset int64
	Count      int
	Time       int64 // append time, unix nanoseconds
	Epoch      uint64
	Durable    bool
}

// publication is a batch on its way into the log and the one who waits for it.
type publication struct {
	Batch
	bytes   []byte // the whole batch
	seq     uint64 // once appended
	ack     Ack    // written before settled is closed
	err     error  // written before settled is closed
	settled chan struct{}
}

func newPublication(b Batch) *publication {
	h := batch.Header{
		Attributes:       b.Attributes,
		RecordCount:      uint32(b.Count),
		LastOffsetDelta:  int32(b.Count) - 1,
		BodyCRC:          b.Checksum,
		Body:             batch.BodyRecords,
		ProducerID:       b.ProducerID,
		ProducerSequence: b.ProducerSeq,
	}
	bytes := batch.Append(make([]byte, 0, batch.HeaderSize+len(b.Records)), &h, b.Records)
	return &publication{Batch: b, bytes: bytes, settled: make(chan struct{})}
}

// settle answers. It is called once.
func (p *publication) settle(ack Ack, err error) {
	p.ack, p.err = ack, err
	close(p.settled)
}
