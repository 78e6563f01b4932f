package simulation_test

import "time"

// link is one direction between two brokers.
type link struct {
	cut   bool
	last  int64 // when the last message in order arrives
	epoch int   // raised when connections break: what is under way on them is lost
}

func (w *world) link(from, to int) *link {
	key := [2]int{from, to}
	l := w.links[key]
	if l == nil {
		l = &link{}
		w.links[key] = l
	}
	return l
}

// reachable says whether what one broker sends gets to the other now.
func (w *world) reachable(from, to *broker) bool { return !w.link(from.index, to.index).cut }

// send delivers a message to the process that runs at the other broker now, in order with what was sent before. It is lost
// when the link is cut, the connection breaks or the process ends; now and then a copy of it comes late.
func (w *world) send(from, to *broker, deliver func()) {
	l := w.link(from.index, to.index)
	if l.cut {
		return
	}
	process, sender, connection := to.process, from.process, l.epoch
	arrive := func() {
		if to.up && to.process == process && !l.cut && l.epoch == connection {
			to.whenAwake(deliver)
		}
	}
	delay := w.between(50*time.Microsecond, w.plan.delay)
	at := max(w.now+int64(delay), l.last+1)
	l.last = at
	w.after(time.Duration(at-w.now), arrive)
	if w.chance(w.plan.stray) { // what an older connection still held
		w.after(delay+w.between(0, 3*time.Second), func() {
			if to.up && to.process == process && from.process == sender {
				to.whenAwake(deliver)
			}
		})
	}
}

// breakConnections loses what is under way between two brokers.
func (w *world) breakConnections(a, b *broker) {
	w.link(a.index, b.index).epoch++
	w.link(b.index, a.index).epoch++
	a.connectionLost(b.name)
	b.connectionLost(a.name)
}
