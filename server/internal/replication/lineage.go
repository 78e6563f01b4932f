package replication

import (
	"sort"

	"github.com/trestlehq/trestle/commitlog"
)

// Name tells a batch from any other that may stand at the same place in a log: the last one of a log. The zero Name is
// that of an empty log. CRC is that of the header; 0 if it is not comparable, because a compaction may have rewritten the
// batch.
type Name struct {
	Seq   uint64
	Epoch uint64
	CRC   uint32
}

// EpochStart says where the batches of a leader epoch begin in a log.
type EpochStart struct {
	Epoch uint64
	Start commitlog.Position
}

// History is the lineage of a log: its leader epochs in ascending order, one entry for each that has batches there (every
// epoch has: its EPOCH control batch), and where the log begins and ends.
type History struct {
	Epochs []EpochStart
	First  commitlog.Position // of the oldest batch that is kept
	End    commitlog.Position
}

// EpochEnd returns the largest leader epoch, not above that one, of which the log has batches, and the seq behind its last
// batch. Without such an epoch it returns 0 and the seq at which the log's first epoch begins.
func (h *History) EpochEnd(epoch uint64) (largest, end uint64) {
	next := sort.Search(len(h.Epochs), func(i int) bool { return h.Epochs[i].Epoch > epoch })
	if next > 0 {
		largest = h.Epochs[next-1].Epoch
	}
	end = h.End.Seq
	if next < len(h.Epochs) {
		end = h.Epochs[next].Start.Seq
	}
	if mutant("replication-epoch-end-off-by-one") {
		end++ // L4
	}
	return largest, end
}

// lineage is the log of a leader, as far as it takes to tell whether another one is a beginning of it.
type lineage struct {
	history   History
	held      func(seq uint64) (Name, bool)
	compacted uint64
}

// judge compares the log that an Open names with the leader's (R§2.5).
func (l *lineage) judge(o *Open) (AnswerKind, Divergence) {
	h := &l.history
	switch {
	case o.End.Seq < h.First.Seq:
		return AnswerGone, Divergence{}
	case o.Last == Name{} && o.End.Seq <= h.End.Seq:
		return AnswerAccepted, Divergence{} // nothing in it can differ
	case o.Last == Name{}:
		return AnswerGone, Divergence{} // it begins behind the end of this log
	}
	epoch, end := h.EpochEnd(o.Last.Epoch)
	switch {
	case epoch == 0 && h.First.Seq > commitlog.Origin.Seq:
		return AnswerGone, Divergence{} // where they part is no longer known
	case epoch < o.Last.Epoch || end < o.End.Seq:
		return AnswerDiverged, Divergence{Epoch: epoch, Seq: end}
	}
	return l.compare(o), Divergence{}
}

// compare looks for the batch itself, which the leader's log should have.
func (l *lineage) compare(o *Open) AnswerKind {
	held, ok := l.held(o.Last.Seq)
	switch {
	case o.Last.Seq < l.compacted || o.Last.Seq < l.history.First.Seq:
		// It may have been compacted, or was deleted: (epoch, seq) has to do.
		if ok && held.Epoch != o.Last.Epoch {
			return AnswerCorrupt
		}
		return AnswerAccepted
	case !ok:
		return AnswerUnknown // the leader's own log is damaged there
	case held.Epoch != o.Last.Epoch:
		return AnswerCorrupt
	case o.Last.CRC != 0 && held.CRC != o.Last.CRC && !mutant("replication-crc-not-compared"):
		return AnswerCorrupt
	}
	return AnswerAccepted
}
