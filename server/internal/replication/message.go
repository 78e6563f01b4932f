package replication

import (
	"slices"

	"github.com/trestlehq/trestle/commitlog"
)

// Open asks the leader for a stream of batches. It names the log that the follower has.
type Open struct {
	Broker         string
	BrokerEpoch    uint64
	LeaderEpoch    uint64
	PartitionEpoch uint64 // that the follower knew of when it asked
	Last           Name
	Durable        commitlog.Position
	End            commitlog.Position
	Credit         int64 // bytes that may be under way to the follower; 0: DefaultCredit
}

// AnswerKind is what became of an Open.
type AnswerKind uint8

// The zero AnswerKind is no answer.
const (
	AnswerAccepted AnswerKind = iota + 1
	AnswerDiverged            // the logs part: truncate and ask again
	AnswerGone                // the leader's log begins behind what the follower has: begin anew at Answer.Begin
	AnswerFenced              // the leader epoch of the Open is over
	AnswerUnknown             // the leader knows no such follower, or not yet: refresh and ask again
	AnswerCorrupt             // same epoch and seq, another batch
)

// Answer is the leader's word on an Open. It repeats what it is about, for answers may come late and twice.
type Answer struct {
	Kind        AnswerKind
	LeaderEpoch uint64
	Session     uint64 // of the stream, if accepted
	Diverged    Divergence
	Begin       commitlog.Position // of the leader's log
	Last        Name               // of the Open
	End         uint64             // seq of the Open's End
}

// Divergence is the largest epoch of the leader's log that the follower's last batch may be of, and the seq at which the
// batches of that epoch end there.
type Divergence struct{ Epoch, Seq uint64 }

// Progress tells the leader how far a follower is.
type Progress struct {
	Broker         string
	BrokerEpoch    uint64
	LeaderEpoch    uint64
	PartitionEpoch uint64 // that the follower knew of
	Session        uint64
	Received       commitlog.Position // end of what is appended: what was sent up to there is no longer under way
	Durable        commitlog.Position
}

// Commit tells a follower what is committed, and where the log begins.
type Commit struct {
	LeaderEpoch uint64
	Session     uint64
	Position    commitlog.Position
	LogStart    int64
	Compacted   uint64 // see Batches
}

// Batches are some that follow one another in the leader's log.
type Batches struct {
	LeaderEpoch uint64
	Session     uint64
	// From is the seq that the leader looked for: the batches are the first that it has from there on. Without it a frame
	// that got lost would look like a hole that a compaction left.
	From    uint64
	Headers []BatchHeader
	// Compacted is the seq below which batches of the leader's log may be missing or rewritten. It is read after the
	// batches are.
	Compacted uint64
}

// BatchHeader is what the arithmetic needs to know of a batch.
type BatchHeader struct {
	Seq         uint64
	Epoch       uint64
	Offset      int64 // of its first record
	NextOffset  int64
	Time        int64 // unix nanoseconds
	PreviousCRC uint32
	CRC         uint32
}

// Proposal asks the metadata for another ISR. It is judged in the partition epoch that it names, once.
type Proposal struct {
	LeaderEpoch    uint64
	PartitionEpoch uint64
	ISR            []InSync // in replica order
}

// InSync names a member of an ISR in one life of its broker.
type InSync struct {
	Broker      string
	BrokerEpoch uint64
}

func (p *Proposal) equal(q *Proposal) bool {
	return p.LeaderEpoch == q.LeaderEpoch && p.PartitionEpoch == q.PartitionEpoch && slices.Equal(p.ISR, q.ISR)
}

func (p *Proposal) has(broker string) bool {
	return slices.ContainsFunc(p.ISR, func(m InSync) bool { return m.Broker == broker })
}

// Decision is what became of a Proposal.
type Decision uint8

// The zero Decision is none.
const (
	Accepted Decision = iota + 1
	Refused           // judged, and it raised the partition epoch: no copy of it will ever be accepted
	Stale             // not judged: the partition is past its leader epoch or partition epoch
	Unknown           // it may yet be accepted
)
