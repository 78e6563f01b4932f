package shadow

import "github.com/trestlehq/trestle/proto/batch"

// Message is a NATS message that this replica heard. One with an expected offset must never come here: its caller leaves
// it to the leader alone, and if that dies it is not recovered (protocol.md 2.5).
type Message struct {
	Fingerprint Fingerprint // of its record
	ID          Fingerprint // of its message id; zero: it has none
	Record      []byte      // encoded, as batch.AppendRecord does; the ring keeps it
	Ack         []byte      // what is needed to acknowledge it, meaningless to the ring, which keeps it; empty: nobody asks
	Heard       int64       // arrival; 0: now
}

// Captured is a record with the attribute captured that was appended to this replica's log, by whoever leads.
type Captured struct {
	Fingerprint Fingerprint
	ID          Fingerprint // zero: none
	Seq         uint64      // of its batch
	Offset      int64
	AppendTime  int64 // of its batch, by the leader's clock
}

// CutRecord is a captured record that this replica cuts from its log.
type CutRecord struct {
	Fingerprint Fingerprint
	ID          Fingerprint // zero: none
	Record      []byte      // encoded; the ring keeps it
	Seq         uint64      // of its batch
	Time        int64       // append time of its batch
}

// Settled is a message whose record is committed. Whoever leads sends its acknowledgement.
type Settled struct {
	Fingerprint Fingerprint // of the message
	Ack         []byte      // never empty
	Heard       int64
	Seq         uint64 // of the record's batch
	Offset      int64  // of the record
	Duplicate   bool   // the record is of another message with the same message id
}

// Report is about messages that a replica heard and that no leader appended although it could have. A follower sends it
// to its leader, a leader writes it as a gap; a replica keeps it until that gap is committed (see Gaps).
type Report struct {
	Cause       batch.GapCause
	First, Last int64 // between which they were heard: of one that was heard and forgotten before its record was cut, bounds
	Count       uint64
	Counted     bool // Count is known
}

// Gap is the report as it is written.
func (r Report) Gap() batch.Gap {
	return batch.Gap{Cause: r.Cause, FromTime: r.First, ToTime: r.Last, AtLeast: r.Count, Counted: r.Counted}
}

// Recovery is what a replica that begins to lead has to append after its epoch batch.
type Recovery struct {
	Records [][]byte    // encoded records to append, in this order, captured and recovered
	Gaps    []batch.Gap // to write: what this replica may have missed, at most one of each cause
	Refused [][]byte    // acknowledgement parts of messages that are refused by now: they are told so
}
