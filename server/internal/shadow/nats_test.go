package shadow

import (
	"encoding/binary"
)

// message is one publication.
type message struct {
	number    uint64
	publisher int
	content   uint64 // messages of one content look alike
	id        uint64 // 0: none
	wantsAck  bool
	published int64
	times     []int64 // when replicas heard it, by their clocks
	appended  []int64 // when leaders appended it, by theirs
	hearings  []hearing
	twice     int
	late      int // deliveries later than the window
	missed    bool
	nacked    bool
}

// hearing is one delivery of a message to a replica.
type hearing struct {
	replica, process int
	at               int64
	reached          bool // it came to the ring, which did not refuse it
	settled          int
}

func (m *message) fingerprint() Fingerprint {
	var f Fingerprint
	binary.BigEndian.PutUint64(f[:], m.content+1)
	return f
}

func idFingerprint(id uint64) Fingerprint {
	var f Fingerprint
	binary.BigEndian.PutUint64(f[8:], id)
	return f
}

func (m *message) record() []byte { return binary.BigEndian.AppendUint64(nil, m.number) }

func (w *world) messageOf(record []byte) *message {
	return w.messages[binary.BigEndian.Uint64(record)]
}

// refusable messages are refused while the setting says so.
func (m *message) refusable() bool { return m.content%3 == 0 }

func (w *world) publisher(p int) {
	var last []int64 // delivery to each replica: one publisher's messages stay in order
	for range w.plan.replicas {
		last = append(last, 0)
	}
	w.during(0, w.interval, func() {
		m := w.newMessage(p)
		w.publish(m, last)
		for m.id != 0 && w.chance(40) { // its publisher tries again, and hears of it at another inbox
			again := w.add(&message{publisher: p, content: w.fresh(), id: m.id, wantsAck: m.wantsAck})
			w.after(w.between(0, 300*ms), func() {
				if !w.over {
					w.publish(again, last)
				}
			})
		}
	})
}

func (w *world) fresh() uint64 { return 100 + uint64(len(w.messages)) }

func (w *world) newMessage(p int) *message {
	m := &message{publisher: p, content: w.fresh(), wantsAck: w.chance(w.acks)}
	if w.chance(w.alike) {
		m.content = uint64(w.rng.IntN(3))
	} else if w.chance(w.ids) {
		m.id = m.content
	}
	return w.add(m)
}

func (w *world) add(m *message) *message {
	m.number = uint64(len(w.messages))
	w.messages = append(w.messages, m)
	return m
}

// publish gives a message to NATS, which brings it to each replica or does not.
func (w *world) publish(m *message, last []int64) {
	w.stats.published++
	m.published = w.now
	w.tell("publisher %d: message %d, content %d, id %d", m.publisher, m.number, m.content, m.id)
	for _, r := range w.replicas {
		if !r.hears {
			m.missed = true
			continue // told of when it is back
		}
		if w.loss && w.chance(5) || r.dropping {
			w.tell("  %d does not get it", r.id)
			m.missed = true
			r.taint(m)
			if r.dropping {
				r.dropped++
			}
			continue
		}
		delay := w.between(0, w.skew)
		if w.slow && w.chance(5) {
			delay += w.between(window, 2*window)
		}
		at := max(w.now+delay, last[r.id]+1)
		if at-w.now > w.skew+ms {
			m.late++
			w.taintAll(m)
		}
		last[r.id] = at
		w.deliver(r, m, at)
		if w.twice && w.chance(5) {
			m.twice++
			w.taintAll(m)
			w.deliver(r, m, at+w.between(1, window))
		}
	}
}

func (w *world) taintAll(m *message) {
	for _, r := range w.replicas {
		r.taint(m)
	}
}

func (w *world) deliver(r *replica, m *message, at int64) {
	connection := r.connection
	w.after(at-w.now, func() {
		if r.hears && r.connection == connection {
			r.hear(m)
			return
		}
		m.missed = true
	})
}

// cutOff takes a replica away from NATS: what is under way to it is gone. It notices.
func (w *world) cutOff(r *replica) {
	if !r.alive || !r.hears {
		return
	}
	w.tell("%d is cut off from NATS", r.id)
	r.deaf()
	process := r.process
	w.after(w.between(10*ms, 2*window), func() {
		if r.process == process && r.alive && !r.hears {
			w.comeBack(r)
		}
	})
}

// slowConsumer lets NATS drop messages to a replica for a while, which the replica hears of.
func (w *world) slowConsumer(r *replica) {
	if !r.alive || !r.hears || r.dropping {
		return
	}
	r.dropping, r.dropped = true, 0
	from, process := r.clock(), r.process
	w.after(w.between(10*ms, window/2), func() {
		r.dropping = false
		if r.process == process && r.dropped > 0 {
			w.tell("%d knows that it did not get %d", r.id, r.dropped)
			r.incomplete(gapDropped, from, uint64(r.dropped), true)
		}
	})
}
