package partition_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// outcome is what the one who sent a message was told of it.
type outcome struct {
	sent   string // its value, which nothing else has
	id     string
	offset int64 // where it is, or what it repeats
	again  bool  // it was said to be a duplicate
	no     bool  // it was said not to be stored
}

// history is what happened to a partition from one crash to the next and over all of them.
type history struct {
	*testing.T
	random *rand.Rand
	setup  *setup
	rig    *rig

	mu       sync.Mutex
	outcomes []outcome // of which something is certain

	sent     int
	producer struct {
		epoch, next uint32
		flight      map[uint32]string // values of what was sent and not answered
	}
}

// S10: an ack says where a message is, for good; a refusal means that it never appears. S11: at most one record per
// message id in the window, and per (producer, epoch, sequence). Clients send again what they do not know the outcome of,
// the disk fills up, machines and processes die.
func TestStoredOnceS10S11(t *testing.T) {
	t.Parallel()
	seeds := uint64(24)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		h := &history{T: t, random: rand.New(rand.NewPCG(seed, 5)), setup: newSetup(seed)}
		h.producer.flight = map[uint32]string{}
		h.setup.segment = 4 << 10
		h.rig = h.setup.lead(t, withDedup)
		for range 60 {
			h.step()
		}
		h.setup.disk.SetCapacity(0)
		h.rig.close(t)
		h.rig = h.setup.lead(t, withDedup)
		h.check()
		h.rig.close(t)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (h *history) step() {
	h.setup.clock.forward(time.Duration(h.random.Int64N(int64(4 * time.Second))))
	switch n := h.random.IntN(20); {
	case n < 8:
		h.together()
	case n < 14:
		h.numbered()
	case n == 14:
		h.setup.disk.SetCapacity(1)
	case n < 17:
		h.setup.disk.SetCapacity(0)
	case n == 17:
		h.rig.Tick(h.setup.clock.now())
	case n == 18:
		h.setup.disk.SetCapacity(0)
		h.crash()
	case n == 19:
		h.setup.disk.SetCapacity(0)
		h.rig.close(h.T)
		h.rig = h.setup.lead(h.T, withDedup)
	}
}

// crash takes the machine or the process away while messages are under way.
func (h *history) crash() {
	var under sync.WaitGroup
	for range 3 {
		all := h.compose()
		under.Go(func() { h.publish(all) })
	}
	if h.random.IntN(2) == 0 {
		h.setup.disk = h.setup.disk.Kill()
	} else {
		h.setup.disk = h.setup.disk.Crash(vfs.KeepRandom)
	}
	under.Wait()
	_ = h.rig.Close()
	h.rig = h.setup.lead(h.T, withDedup)
}

// compose makes messages, some under ids that were used before.
func (h *history) compose() (all []*batch.Record) {
	for range 1 + h.random.IntN(4) {
		h.sent++
		id := ""
		if h.random.IntN(4) > 0 {
			id = fmt.Sprint("id", h.sent-h.random.IntN(min(h.sent, 12)))
		}
		all = append(all, message(id, fmt.Sprint("m", h.sent)))
	}
	return all
}

// together publishes and captures side by side.
func (h *history) together() {
	var both sync.WaitGroup
	for range 1 + h.random.IntN(3) {
		all := h.compose()
		both.Go(func() { h.publish(all) })
	}
	for range h.random.IntN(3) {
		rec := h.compose()[0]
		err := h.rig.CaptureWith(rec, partition.Captured{OnAck: func(ack partition.Ack, err error) {
			h.answered([]*batch.Record{rec}, ack, err)
		}})
		if err != nil {
			h.Error(err)
		}
	}
	both.Wait()
}

func (h *history) publish(all []*batch.Record) {
	ack, err := h.rig.Publish(h.Context(), messages(all...))
	h.answered(all, ack, err)
}

// answered takes down what the ack says of each message.
func (h *history) answered(all []*batch.Record, ack partition.Ack, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	duplicates, next := ack.Duplicates, ack.BaseOffset
	for i, rec := range all {
		o := outcome{sent: string(rec.Value), id: string(rec.MessageID())}
		switch {
		case errors.Is(err, partition.ErrOutcomeUnknown):
			continue
		case err != nil:
			o.no = true
		case len(duplicates) > 0 && duplicates[0].Index == i:
			o.again, o.offset, duplicates = true, duplicates[0].Offset, duplicates[1:]
		default:
			o.offset = next
			next++
		}
		h.outcomes = append(h.outcomes, o)
	}
}

// numbered sends the next batch of a producer, or one again that was not answered; what it is told it takes down.
func (h *history) numbered() {
	p := &h.producer
	seq := p.next
	for other := range p.flight {
		if h.random.IntN(2) == 0 {
			seq = min(seq, other)
		}
	}
	if _, again := p.flight[seq]; !again {
		h.sent++
		p.flight[seq] = fmt.Sprint("p", h.sent)
		p.next = seq + 1
	}
	rec := message("", p.flight[seq])
	b := messages(rec)
	b.ProducerID, b.ProducerEpoch, b.ProducerSeq = 77, p.epoch, seq
	ack, err := h.rig.Publish(h.Context(), b)
	if err == nil {
		h.answered([]*batch.Record{rec}, ack, err)
		delete(p.flight, seq)
		return
	}
	// A refusal says that it is not stored now; the batch before it may be missing for the same reason. It is sent again.
	if len(p.flight) > 3 {
		p.epoch++
		p.next = 0
		clear(p.flight)
	}
}

func (h *history) check() {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.rig.all(h.T)
	values, times := map[string]int64{}, map[string]int64{}
	for _, f := range all {
		if f.Gap != nil {
			continue
		}
		if _, twice := values[f.Value]; twice {
			h.Errorf("S11: %s is stored twice", f.Value)
		}
		values[f.Value] = f.Offset
		if before, again := times[f.ID]; f.ID != "" && again && f.Time-before < int64(time.Minute) {
			h.Errorf("S11: offset %d repeats %s within the window", f.Offset, f.ID)
		}
		times[f.ID] = f.Time
	}
	byOffset := map[int64]found{}
	for _, f := range all {
		if f.Gap == nil {
			byOffset[f.Offset] = f
		}
	}
	for _, o := range h.outcomes {
		offset, stored := values[o.sent]
		switch {
		case o.no && stored:
			h.Errorf("S10: %s was refused and is stored at %d", o.sent, offset)
		case o.no:
		case o.again && (byOffset[o.offset].ID != o.id || stored):
			h.Errorf("S10: %s was said to repeat offset %d, where %q stands; stored %v", o.sent, o.offset, byOffset[o.offset].ID, stored)
		case !o.again && (!stored || offset != o.offset):
			h.Errorf("S10: %s was acked at %d and stands at %d (stored %v)", o.sent, o.offset, offset, stored)
		}
	}
}
