package dedup

import (
	"errors"
	"time"
)

// DefaultWindowNanos is the window of a stream that sets none.
const DefaultWindowNanos = int64(2 * time.Minute)

// Options of a State. The zero value of each stands for its default.
type Options struct {
	WindowNanos  int64   // 0: 2 min; below 0: ids are not looked at
	Budget       *Budget // nil: no limit
	IdleNanos    int64   // how long a producer is remembered after its last batch; 0: 24 h
	MaxProducers int     // 0: 10,000
}

// Batch is what the header of a stored batch says, as far as it matters here.
type Batch struct {
	Seq        uint64
	Time       int64 // append time, unix nanoseconds
	BaseOffset int64
	Count      uint32 // of records

	Producer         uint64 // 0: none
	ProducerEpoch    uint32
	ProducerSequence uint32
}

// Stored is a record of a batch that has a message id.
type Stored struct {
	Offset int64
	ID     ID
}

// State is what a replica of a partition remembers so that a message is stored once. It is the same on every replica
// that appended the same batches.
type State struct {
	window    *Window
	producers *Producers
	tide      tide
	twins     twins
}

// New makes the state of an empty log, or one to which the batches of a log will be appended. Close gives its memory
// back to the budget.
func New(options Options) *State {
	if options.WindowNanos == 0 {
		options.WindowNanos = DefaultWindowNanos
	}
	return &State{
		window:    NewWindow(options.WindowNanos, options.Budget),
		producers: NewProducers(options.IdleNanos, options.MaxProducers),
	}
}

// Append remembers a batch and those of its records that have ids. Leader and followers append every batch, control
// batches included, in the order of the log. A leader may append before it writes, so that the next decision knows of
// it; if the write then fails, Truncated undoes it.
func (s *State) Append(b Batch, ids []Stored) {
	b.Time = max(b.Time, s.tide.last.time)
	s.tide.append(b.Seq, b.Time, s.window.nanos/64)
	for i := range ids {
		s.window.Add(ids[i].ID, ids[i].Offset, b.Seq, b.Time)
	}
	s.producers.Add(b)
	if mutant("dedup-uncommitted-expiry") {
		s.window.Settled(b.Seq, b.Time)
	}
}

// Truncated undoes every batch from seq on, because the log was cut there. If that is not possible the error is
// ErrRebuild: batches that had been committed were cut, or ones that a loaded snapshot holds. The state then knows
// nothing of what was cut, but may have forgotten some that it should know. Snapshots of seq or later must be deleted.
func (s *State) Truncated(seq uint64) error {
	s.tide.truncate(seq)
	return errors.Join(s.window.Truncated(seq), s.producers.Truncated(seq))
}

// Committed says that the batches up to seq will not be cut. What expired by the append time of that batch is dropped.
func (s *State) Committed(seq uint64) {
	s.tide.commit(seq)
	s.window.Settled(s.tide.seq, s.tide.time)
	s.producers.Settled(s.tide.seq, s.tide.time)
}

// Window is the part that knows message ids: to look one up, to change the setting, to see its size.
func (s *State) Window() *Window { return s.window }

// Producers is the part that knows idempotent producers.
func (s *State) Producers() *Producers { return s.producers }

// Close gives the memory back to the budget. The state must not be used afterwards.
func (s *State) Close() { s.window.Close() }
