package partition

import (
	"fmt"
	"time"
)

// Listener hears what becomes of the batches that it had started. It is called from goroutines of the partition, must not
// block and must not call Close. Several goroutines may call at once.
type Listener interface {
	// Settled says where the batch is that was started with that tag, or why it is not stored. It is called once for each.
	Settled(tag uint64, ack Ack, err error)
	// SettledGroup follows calls of Settled that were made one right after the other.
	SettledGroup()
}

// pending is someone who waits for an answer.
type pending struct {
	seq         uint64 // answered once the batches up to it are committed
	ack         Ack    // what it will be told
	err         error  // or why it is refused
	whenWritten bool
	unheard     bool      // no client waits, only the broker's books
	begun       time.Time // of a publication

	listener Listener // with tag; nil: notify is called
	tag      uint64
	notify   func(Ack, error)
}

// settle answers all of them, those with an error of their own with that, and, if err is not nil, all with that. It is called
// once for each, without any lock held.
func (p *Partition) settle(all []*pending, err error) {
	for i, one := range all {
		ack, why := one.ack, one.err
		if err != nil {
			why = err
		}
		if why != nil {
			ack = Ack{}
		}
		switch {
		case one.begun.IsZero():
		case why != nil:
			p.meter.Refused()
		default:
			p.meter.Acked(time.Since(one.begun))
		}
		if one.listener == nil {
			one.notify(ack, why)
			continue
		}
		one.listener.Settled(one.tag, ack, why)
		if i+1 == len(all) || all[i+1].listener != one.listener {
			one.listener.SettledGroup()
		}
	}
}

// unknown is what those are told of whose records may be stored or not.
func unknown(err error) error { return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err) }
