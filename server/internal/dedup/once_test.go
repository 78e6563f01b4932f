package dedup_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// message is what a client wants stored; its number is its content.
type message struct {
	number uint64
	id     dedup.ID
}

// sent is a numbered batch of a client that is not acked.
type sent struct {
	sequence uint32
	messages []message
}

type client struct {
	producer uint64
	epoch    uint32
	next     uint32
	flight   []sent
}

type waiting struct {
	*client
	epoch    uint32
	sequence uint32
	messages []message
	decision dedup.Decision
	seq      uint64 // to be committed first
}

// world is a partition whose leaders come and go, and clients that send again until they have an ack.
type world struct {
	*testing.T
	random    *rand.Rand
	window    int64
	time      int64
	log       []logged
	content   map[int64]message // by offset
	committed uint64
	state     *dedup.State
	clients   []*client
	waiting   []waiting
	messages  uint64
}

// S11: at most one record per (producer id, epoch, sequence) and per message id in the window. S10: what an ack says
// holds, for good.
func TestStoredOnceS11(t *testing.T) {
	t.Parallel()
	seeds := uint64(2000)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 2))
		w := &world{T: t, random: random, window: int64(5+random.IntN(60)) * second, content: map[int64]message{}}
		w.state = dedup.New(w.options())
		for i := range uint64(3) {
			w.clients = append(w.clients, &client{producer: i + 1})
		}
		for range 150 {
			w.step()
		}
		w.check()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (w *world) options() dedup.Options { return dedup.Options{WindowNanos: w.window} }

func (w *world) step() {
	w.time += w.random.Int64N(second)
	end := uint64(len(w.log))
	switch n := w.random.IntN(20); {
	case n < 12:
		c := w.clients[w.random.IntN(len(w.clients))]
		w.send(c)
	case n < 14:
		w.publish()
	case n < 17:
		w.committed += w.random.Uint64N(end - w.committed + 1)
		w.state.Committed(w.committed)
		w.ack()
	case n == 17: // a new leader, which lacks some of what was not committed
		w.cut(w.committed + 1 + w.random.Uint64N(end-w.committed+1))
	case n == 18:
		w.restart()
	}
}

// send sends a batch that is in flight once more, or the next one.
func (w *world) send(c *client) {
	i := w.random.IntN(len(c.flight) + 1)
	if i == len(c.flight) {
		if i > 0 && c.next-c.flight[0].sequence >= 5 {
			return // no more than the leader remembers
		}
		c.flight = append(c.flight, sent{sequence: c.next, messages: w.compose(1 + w.random.IntN(4))})
		c.next++
	}
	s := c.flight[i]
	d := w.offer(c, s.sequence, s.messages)
	if d.Verdict == dedup.Past {
		c.flight = slices.Delete(c.flight, i, i+1) // its outcome stays unknown
		return
	}
	// No producer ages out here: an unknown one has nothing in the log.
	if d.Verdict == dedup.Unknown && c.flight[0].sequence > 0 || d.Verdict == dedup.Gap && int32(d.ExpectedSequence-c.flight[0].sequence) < 0 {
		// Those before were answered and not stored, and the leader that knew it is gone: begin anew.
		c.epoch++
		for i := range c.flight {
			c.flight[i].sequence = uint32(i)
		}
		c.next = uint32(len(c.flight))
	}
}

// publish sends messages without a number: new ones, with ones that another client may have sent before.
func (w *world) publish() {
	messages := slices.DeleteFunc(w.compose(1+w.random.IntN(4)), func(m message) bool { return m.id == dedup.ID{} })
	if len(messages) > 0 {
		w.offer(&client{}, 0, messages)
	}
}

func (w *world) compose(n int) (messages []message) {
	for range n {
		w.messages++
		m := message{number: w.messages}
		switch w.random.IntN(3) {
		case 0:
			m.id = number(m.number)
		case 1: // one that was sent before, perhaps in this batch
			m.number -= w.random.Uint64N(min(m.number, 6))
			m.id = number(m.number)
		}
		messages = append(messages, m)
	}
	return messages
}

func (w *world) offer(c *client, sequence uint32, messages []message) dedup.Decision {
	var next int64
	now := w.time
	if len(w.log) > 0 {
		last := w.log[len(w.log)-1]
		next, now = last.BaseOffset+int64(last.Count), max(now, last.Time)
	}
	var ids []dedup.ID
	for _, m := range messages {
		ids = append(ids, m.id)
	}
	d := w.state.Decide(dedup.Request{
		IDs: ids, Count: uint32(len(ids)), Producer: c.producer, ProducerEpoch: c.epoch, ProducerSequence: sequence,
	}, next, now, nil)
	switch d.Action {
	case dedup.Answer:
	case dedup.Store:
		b := logged{ids: d.Kept(ids, nil), Batch: dedup.Batch{
			Seq: uint64(len(w.log)) + 1, Time: now, BaseOffset: next, Count: d.Count,
			Producer: c.producer, ProducerEpoch: c.epoch, ProducerSequence: sequence,
		}}
		w.log = append(w.log, b)
		w.state.Append(b.Batch, b.ids)
		for i, m := range messages {
			if !slices.ContainsFunc(d.Duplicates, func(d dedup.Duplicate) bool { return d.Index == i }) {
				w.content[next] = m
				next++
			}
		}
	case dedup.Refuse:
		known := d.Verdict != dedup.Past // of duplicates only, whose ids have expired since
		for _, m := range messages {
			known = known || m.id == dedup.ID{}
		}
		if known && d.Verdict != dedup.Gap && d.Verdict != dedup.Unknown {
			w.Errorf("batch %d of epoch %d of producer %d is refused: %+v", sequence, c.epoch, c.producer, d)
		}
		return d
	}
	w.waiting = append(w.waiting, waiting{c, c.epoch, sequence, messages, d, uint64(len(w.log))})
	return d
}

// ack delivers some of the acks of what is committed, and loses the others.
func (w *world) ack() {
	var still []waiting
	for _, a := range w.waiting {
		if a.seq > w.committed {
			still = append(still, a)
			continue
		}
		w.checkAck(a)
		i := slices.IndexFunc(a.flight, func(s sent) bool { return s.sequence == a.sequence })
		if i >= 0 && a.epoch == a.client.epoch && w.random.IntN(3) > 0 {
			a.flight = slices.Delete(a.flight, i, i+1)
		}
	}
	w.waiting = still
}

// checkAck sees that every message of an acked batch stands where the ack says.
func (w *world) checkAck(a waiting) {
	if a.decision.DuplicatesUnknown {
		return
	}
	at, duplicates := a.decision.BaseOffset, a.decision.Duplicates
	for i, m := range a.messages {
		offset := at
		if len(duplicates) > 0 && duplicates[0].Index == i {
			offset, duplicates = duplicates[0].Offset, duplicates[1:]
		} else {
			at++
		}
		if offset < 0 && a.decision.Verdict == dedup.Repeated {
			continue
		}
		if got := w.content[offset]; got.number != m.number {
			w.Errorf("ack %+v: message %d of the batch is %d, at offset %d stands %d", a.decision, i, m.number, offset, got.number)
		}
	}
}

// cut truncates the log; acks that waited are never sent.
func (w *world) cut(seq uint64) {
	if seq <= uint64(len(w.log)) {
		for offset := w.log[seq-1].BaseOffset; w.content[offset].number > 0; offset++ {
			delete(w.content, offset)
		}
		w.log = w.log[:seq-1]
	}
	w.waiting = nil
	if err := w.state.Truncated(seq); err != nil {
		w.Error(err)
	}
}

// restart loads a snapshot of a committed batch and appends what follows.
func (w *world) restart() {
	w.waiting = nil
	replica := dedup.New(w.options())
	for i, b := range w.log {
		if uint64(i) == w.committed && i > 0 {
			var err error
			if replica, _, err = dedup.Load(w.options(), replica.Save(nil, uint64(i), w.log[i-1].Time)); err != nil {
				w.Fatal(err)
			}
		}
		replica.Append(b.Batch, b.ids)
	}
	w.state = replica
}

func (w *world) check() {
	times := map[dedup.ID]int64{}
	batches := map[string]bool{}
	anonymous := map[uint64]bool{}
	for _, b := range w.log {
		for _, s := range b.ids {
			if last, again := times[s.ID]; again && b.Time-last < w.window {
				w.Errorf("offset %d repeats an id after %d ns, within the window of %d", s.Offset, b.Time-last, w.window)
			}
			times[s.ID] = b.Time
		}
		name := fmt.Sprint(b.Producer, b.ProducerEpoch, b.ProducerSequence)
		if b.Producer != 0 && batches[name] {
			w.Errorf("producer, epoch and sequence %s are stored twice", name)
		}
		batches[name] = true
		for offset := b.BaseOffset; offset < b.BaseOffset+int64(b.Count); offset++ {
			m := w.content[offset]
			if m.id == (dedup.ID{}) && anonymous[m.number] {
				w.Errorf("message %d, which has no id, is stored twice", m.number)
			}
			anonymous[m.number] = anonymous[m.number] || m.id == dedup.ID{}
		}
	}
}
