package simulation_test

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/shadow"
)

// secret of the stream that fingerprints are made with.
var secret = [32]byte{7}

// natsModel delivers plain messages: at most once to each subscriber, in the order of each publisher, lost when the
// connection is away.
type natsModel struct {
	w         *world
	published int
	last      map[[2]int]int64 // publisher and broker: when the last delivery arrives
	away      map[int]int64    // broker: since when it is away, on its own clock
	messages  []*natsMessage
	dropped   bool // a delivery was dropped and nobody noticed
	doubled   bool // one came twice
	lossy     bool // one of these, or some replica began to hear while messages were published
}

// natsMessage is what one publisher published once.
type natsMessage struct {
	id        uuid.UUID // partition
	value     string
	at        int64
	hearings  []hearing
	identical bool // others look the same
}

// hearing is one ring that got the message.
type hearing struct {
	broker, ring int
	at           int64
}

func newNATS(w *world) *natsModel {
	return &natsModel{w: w, last: map[[2]int]int64{}, away: map[int]int64{}}
}

// publish lets publishers publish as long as the world is not about to end.
func (n *natsModel) publish(publisher int) {
	n.w.every(n.w.plan.publishEvery, func() bool {
		if ids := n.w.oracle.ids(); len(ids) > 0 {
			n.publishOne(publisher, ids[n.w.rng.IntN(len(ids))])
		}
		return !n.w.healed
	})
}

func (n *natsModel) publishOne(publisher int, id uuid.UUID) {
	n.published++
	m := &natsMessage{id: id, value: fmt.Sprintf("n%d", n.published), at: n.w.now}
	if n.w.chance(200) {
		m.value, m.identical = "tick", true
	}
	n.messages = append(n.messages, m)
	record := batch.Record{Subject: []byte("s"), Value: []byte(m.value)}
	encoded, fingerprint := batch.AppendRecord(nil, &record), shadow.FingerprintOf(&secret, &record)
	for _, b := range n.w.brokers {
		if _, away := n.away[b.index]; away || !b.up {
			continue
		}
		if n.w.chance(n.w.plan.natsLoss) {
			n.dropped, n.lossy = true, true
			continue
		}
		key := [2]int{publisher, b.index}
		at := max(n.w.now+int64(n.w.between(50*time.Microsecond, 2*n.w.plan.delay)), n.last[key]+1)
		n.last[key] = at
		process := b.process
		deliver := func() {
			if b.up && b.process == process {
				b.whenAwake(func() {
					if r := b.replicas[id]; r != nil {
						r.hear(m, shadow.Message{Fingerprint: fingerprint, Record: encoded, Ack: []byte(m.value), Heard: b.clock()})
					}
				})
			}
		}
		n.w.after(time.Duration(at-n.w.now), deliver)
		if n.w.chance(n.w.plan.natsTwice) {
			n.doubled, n.lossy = true, true
			n.w.after(time.Duration(at-n.w.now)+n.w.between(0, time.Second), deliver)
		}
	}
}

// hear takes a message that NATS delivered: it goes to the ring, and a leader appends it at once.
func (r *replica) hear(m *natsMessage, message shadow.Message) {
	m.hearings = append(m.hearings, hearing{r.b.index, r.ringLife, r.w.now})
	awaited := r.ring.Hear(message, r.b.clock())
	if r.w.verbose {
		r.w.log("%s/%s hears %s of %.6f: %v, leads %v", r.b.name, r.id.String()[:2], m.value, float64(m.at-epoch0)/1e9, awaited, r.leader != nil)
	}
	if r.leader != nil && awaited {
		attributes := batch.Captured
		if r.ring.MayBeStored(r.b.clock()) {
			attributes |= batch.Recovered
		}
		r.appendCaptured(message.Record, attributes)
		r.pump()
	}
}

// cutOff takes a broker away from NATS for a while. It notices when it is back.
func (n *natsModel) cutOff(b *broker) {
	if _, away := n.away[b.index]; away {
		return
	}
	n.w.happened("nats away", uint64(b.index))
	n.away[b.index] = b.clock()
	n.w.after(n.w.between(100*time.Millisecond, 3*time.Second), func() { n.comeBack(b) })
}

func (n *natsModel) comeBack(b *broker) {
	since, away := n.away[b.index]
	if !away {
		return
	}
	delete(n.away, b.index)
	n.lossy = true
	if !b.up {
		return
	}
	for _, id := range sortedIDs(b.replicas) {
		r := b.replicas[id]
		if r.leader != nil {
			r.gaps.Add(batch.Gap{Cause: batch.GapNATSDisconnected, FromTime: since, ToTime: b.clock()}, b.name)
			continue
		}
		r.ring.Incomplete(batch.GapNATSDisconnected, since, b.clock(), 0, false)
	}
}

func (n *natsModel) heal() {
	for _, b := range n.w.brokers {
		n.comeBack(b)
	}
}
