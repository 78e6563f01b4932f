package partition

import (
	"errors"
	"fmt"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/dedup"
)

// ErrOutcomeUnknown means that what was published may or may not be stored.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// Batch is what one publish brings: encoded Records that passed batch.CheckRecords.
type Batch struct {
	Records []byte
	// Framed is Records behind batch.HeaderSize bytes: the batch is made there, and belongs to the partition from then on; nil:
	// Records are copied.
	Framed        []byte
	Count         int
	Attributes    batch.Attributes
	Checksum      uint32 // CRC-32C of Records
	ProducerID    uint64 // 0: none
	ProducerEpoch uint32
	ProducerSeq   uint32
	Expected      *int64 // offset that the first record must get; nil: whatever it is
	LargestRecord int    // size in bytes of the largest of Records, encoded; 0: it is not looked at
	WhenWritten   bool   // answer when the batch is written, before it is committed
}

// TooLargeError says that a record is larger than the stream takes.
type TooLargeError struct{ SizeBytes, LimitBytes int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("a message of %d bytes is more than the %d that the stream takes; send less, or raise max_message_bytes", e.SizeBytes, e.LimitBytes)
}

// Ack says where a batch is.
type Ack struct {
	BaseOffset int64 // of the first record stored; with none stored, that of the first duplicate
	Count      int   // records stored, now or, in a repeated batch, then
	Time       int64 // append time, unix nanoseconds; 0 if nothing was appended
	Epoch      uint64
	Durable    bool
	// Duplicates are records that were not stored again.
	Duplicates []Duplicate
	// DuplicatesUnknown says that a repeated batch had duplicates of which nobody knows any more which they were.
	DuplicatesUnknown bool
}

// Duplicate is a record that was stored before, under Offset; -1 if that is not known any more.
type Duplicate struct {
	Index  int // in the batch as it came
	Offset int64
}

// ProducerError says why a numbered batch was refused. Those that wrap ErrOutcomeUnknown may be stored; the others are not.
type ProducerError struct {
	ProducerID uint64
	Epoch      uint32
	Sequence   uint32
	Expected   uint32 // with ErrSequenceGap: the sequence that comes next
	Err        error
}

func (e *ProducerError) Error() string {
	text := fmt.Sprintf("batch %d in epoch %d of producer %d: %v", e.Sequence, e.Epoch, e.ProducerID, e.Err)
	if errors.Is(e.Err, ErrSequenceGap) {
		return fmt.Sprintf("%s; %d comes next", text, e.Expected)
	}
	return text
}

func (e *ProducerError) Unwrap() error { return e.Err }

// Reasons of a ProducerError.
var (
	// ErrSequenceGap means that batches before it were never stored.
	ErrSequenceGap = errors.New("a batch before it is missing; send from that one on again")
	// ErrFenced means that a later epoch of the producer has ended this one.
	ErrFenced = errors.New("the producer has begun a later epoch; end this instance")
	// ErrProducerUnknown means that it cannot be said whether the batch was stored before.
	ErrProducerUnknown = fmt.Errorf("%w: the producer is not known, or no longer; begin a new epoch at sequence 0", ErrOutcomeUnknown)
	// ErrAnswerForgotten means that the batch was answered so long ago that nobody knows how.
	ErrAnswerForgotten = fmt.Errorf("%w: it was answered too long ago", ErrOutcomeUnknown)
)

// publication is a batch on its way into the log and the one who waits for it.
type publication struct {
	pending
	bytes   []byte // the whole batch
	largest int    // size of its largest record
	request dedup.Request
	// refusal is why the batch cannot be stored now; it is answered nevertheless if it was stored before.
	refusal error
}

func (p *Partition) newPublication(b *Batch, waits pending) (*publication, error) {
	h := batch.Header{
		Attributes:       b.Attributes,
		RecordCount:      uint32(b.Count),
		LastOffsetDelta:  int32(b.Count) - 1,
		BodyCRC:          b.Checksum,
		Body:             batch.BodyRecords,
		ProducerID:       b.ProducerID,
		ProducerEpoch:    b.ProducerEpoch,
		ProducerSequence: b.ProducerSeq,
	}
	pub := &publication{
		pending: waits,
		bytes:   b.Framed,
		largest: b.LargestRecord,
		request: dedup.Request{Count: uint32(b.Count), ExpectedOffset: b.Expected},
	}
	if b.Framed != nil {
		batch.Frame(b.Framed, &h)
	} else {
		pub.bytes = batch.Append(make([]byte, 0, batch.HeaderSize+len(b.Records)), &h, b.Records)
	}
	d := p.config.Dedup
	if d == nil {
		return pub, nil
	}
	pub.request.Producer, pub.request.ProducerEpoch, pub.request.ProducerSequence = b.ProducerID, b.ProducerEpoch, b.ProducerSeq
	if b.Attributes&batch.HasMessageIDs == 0 {
		return pub, nil
	}
	var err error
	pub.request.IDs, err = idsOf(d.Key, b.Records, b.Count)
	return pub, err
}

// mayRepeat says whether the batch may have been stored before, as far as anyone can know.
func (pub *publication) mayRepeat() bool { return pub.request.IDs != nil || pub.request.Producer != 0 }

// refuse lets go of what is not going to be stored.
func (pub *publication) refuse(err error) { pub.refusal, pub.bytes = err, nil }

// idsOf are the message ids of encoded Records, one for each.
func idsOf(key dedup.Key, body []byte, count int) ([]dedup.ID, error) {
	ids := make([]dedup.ID, 0, count)
	records, err := batch.ParseRecords(body)
	if err != nil {
		return nil, fmt.Errorf("message ids of a batch: %w", err)
	}
	var r batch.Record
	for {
		_, ok, err := records.Next(&r)
		if err != nil {
			return nil, fmt.Errorf("message ids of a batch: %w", err)
		}
		if !ok {
			return ids, nil
		}
		ids = append(ids, key.ID(r.MessageID()))
	}
}
