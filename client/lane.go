package client

import (
	"slices"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
)

const (
	// parcelBytes is the largest batch of several messages that a server takes, without its header.
	parcelBytes = 1<<20 - batch.HeaderSize
	// maxFlight is how many batches are on their way to a partition: as many as a server knows again of a producer
	// (protocol.md 1.6).
	maxFlight = 5
)

// How large a batch is that waits for nothing more.
const (
	largeBytes        = 64 << 10
	largeCrowdedBytes = 512 << 10 // where more is there than the window takes
)

// windowParts is how many batches a full window goes in: the server syncs two beside each other while the third is on its way to it
// or from it.
const windowParts = 3

// lane is what a producer knows of one partition: which batches wait, which are on their way and under which numbers, and
// what follows from an answer. It neither sends nor waits nor looks at a clock. Its calls come one after the other.
type lane struct {
	stream    string
	partition int32

	window  window // its share of the producer's
	crowded bool   // somebody has waited for room in the window lately

	stale  []*parcel // refused because there are other partitions, oldest first: they wait to be placed anew
	queue  []*parcel // without a number, oldest first; records come to the last
	flight []*parcel // with a number, not settled, oldest first; maxFlight at most
	number number    // of the next batch from the queue

	away     int  // attempts that are not answered
	again    int  // batches of the flight that are to be sent again
	failed   bool // an attempt has: nothing leaves until all are answered
	barred   bool // a batch of the flight is refused for good, and others before it are sent again: nothing leaves behind them
	held     bool // nothing leaves until the pause is over
	stopped  bool // nothing of the queue leaves: it is to be placed anew
	failures int  // in a row, without a batch being stored
}

// window is how much may be sent and not settled.
type window struct{ messages, bytes int }

// number is by which a server knows a batch of a producer again. Sequences count up from 0 in every epoch; a new epoch
// begins where those of the old one are of no use any more.
type number struct{ epoch, sequence uint32 }

// stage is where a batch of a flight is.
type stage uint8

const (
	waits    stage = iota // to be sent, or sent again
	away                  // sent
	answered              // with ack and err
)

// add puts a record behind the others; spare is memory for a batch, if it begins one.
func (l *lane) add(r *batch.Record, size int, spare func() []byte) *Future {
	return l.put(r, size, spare).future()
}

// put is add where nobody waits for the record itself. It returns the batch whose last record that is.
func (l *lane) put(r *batch.Record, size int, spare func() []byte) *parcel {
	var b *parcel
	if n := len(l.queue); n > 0 && len(l.queue[n-1].records)+size <= parcelBytes {
		b = l.queue[n-1]
	} else {
		b = newParcel(l.partition, spare())
		l.queue = append(l.queue, b)
	}
	b.put(r, size)
	return b
}

// due says whether the oldest batch of the queue may leave: at once while none is on its way, else when it is as large as all
// that are, or large. So two batches of like size take turns, one on its way while the other is gathered, however many messages
// that is, and each sync of the server is for one of them. Where more is there than the window takes, it is gathered until it
// has a third of that: else batches would stay as small as they happened to be once, and part of the window would wait.
func (l *lane) due() bool {
	if len(l.queue) == 0 || len(l.flight) >= maxFlight {
		return false
	}
	oldest, onTheWay := l.queue[0], 0
	for _, b := range l.flight {
		onTheWay += b.size
	}
	switch {
	case len(l.queue) > 1 || onTheWay == 0:
		return true
	case l.crowded:
		part := oldest.count >= l.window.messages/windowParts || oldest.size >= l.window.bytes/windowParts
		return oldest.size >= largeCrowdedBytes || part && oldest.size >= onTheWay/(windowParts-1)
	default:
		return oldest.size >= min(onTheWay, largeBytes)
	}
}

// next is the batch that is to be sent now, which is away from then on; nil: none. Batches come in the order of their
// numbers.
func (l *lane) next() *parcel {
	switch {
	case l.held || l.failed:
		return nil
	case l.again > 0:
		l.again--
		i := slices.IndexFunc(l.flight, func(b *parcel) bool { return b.stage == waits })
		return l.depart(l.flight[i])
	case l.barred || l.stopped || !l.due():
		return nil
	}
	b := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	b.number = l.number
	l.number.sequence++
	l.flight = append(l.flight, b)
	return l.depart(b)
}

func (l *lane) depart(b *parcel) *parcel {
	l.away++
	b.stage, b.ack, b.err = away, Ack{}, nil
	b.attempts++
	return b
}

// answer takes the answer to the attempt at a batch that is away.
func (l *lane) answer(b *parcel, ack Ack, err error) {
	l.away--
	b.stage, b.ack, b.err = answered, ack, err
	l.failed = l.failed || err != nil
}

// stored takes out of the flight what is stored, up to the first batch that is not: each with its ack.
func (l *lane) stored() []*parcel {
	n := 0
	for n < len(l.flight) && l.flight[n].stage == answered && l.flight[n].err == nil {
		n++
	}
	if n > 0 {
		l.failures = 0
	}
	left := l.leave(n)
	if l.barred && l.flight[0].stage == answered {
		l.failed = true // it is the oldest now
	}
	return left
}

// leave takes the oldest batches out of the flight, for good.
func (l *lane) leave(n int) []*parcel {
	if n == 0 {
		return nil
	}
	left := slices.Clone(l.flight[:n])
	l.flight = slices.Delete(l.flight, 0, n)
	return left
}

// unresolved says that an attempt has failed, and that none is on its way any more.
func (l *lane) unresolved() bool { return l.failed && l.away == 0 }

// last are the batches behind which nothing waits, unless what waits is placed anew.
func (l *lane) last() (last []*parcel) {
	inLine := l.queue
	if len(inLine) == 0 {
		inLine = l.flight
	}
	for _, batches := range [][]*parcel{l.stale, inLine} {
		if n := len(batches); n > 0 {
			last = append(last, batches[n-1])
		}
	}
	return last
}

// refuse settles the queue with an error: nothing of it was ever sent.
func (l *lane) refuse(err error) []*parcel {
	refused := l.queue
	l.queue = nil
	for _, b := range refused {
		b.err = err
	}
	return refused
}

// abandon settles everything: what was never sent with err, which is a no, and what may be stored as of unknown outcome.
// The batches that are away and that left says false of have not been sent.
func (l *lane) abandon(err error, left func(*parcel) bool) []*parcel {
	for _, b := range l.flight {
		b.unknown = b.mayBeStored() || b.stage == away && left(b)
		if b.err = err; b.unknown {
			b.err = l.outcomeUnknown(b, err)
		}
	}
	all := append(l.refuseStale(err), l.leave(len(l.flight))...)
	l.away, l.again, l.failed, l.barred = 0, 0, false, false
	return append(all, l.refuse(err)...)
}

// retrying is how long and whether batches are sent again.
type retrying struct {
	now     time.Time
	forTime time.Duration // since the first failure of a batch
	never   bool
}

func (r retrying) over(b *parcel) bool { return r.never || r.now.Sub(b.failed) >= r.forTime }
