package dedup_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// model is a replica's log and what follows from it in the most naive way.
type model struct {
	log       []logged
	window    int64
	idle      int64
	most      int
	forgotten int64 // what was appended at or before may or may not be known
	committed uint64
	loaded    uint64 // seq of the snapshot in use
}

type logged struct {
	dedup.Batch
	ids []dedup.Stored
}

func (m *model) last() (seq uint64, time, next int64) {
	if len(m.log) == 0 {
		return 0, 1000 * second, 0
	}
	b := m.log[len(m.log)-1]
	return b.Seq, b.Time, b.BaseOffset + int64(b.Count)
}

// lookup is where an id was stored last, if within the window.
func (m *model) lookup(id dedup.ID, now int64) (offset int64, found, sure bool) {
	for i := len(m.log) - 1; i >= 0; i-- {
		for k := len(m.log[i].ids) - 1; k >= 0; k-- {
			if m.log[i].ids[k].ID == id {
				return m.log[i].ids[k].Offset, now-m.log[i].Time < m.window, m.log[i].Time > m.forgotten
			}
		}
	}
	return 0, false, true
}

func (m *model) commit(seq uint64) {
	m.committed = max(m.committed, seq)
	if time := m.log[seq-1].Time; m.committed == seq {
		m.forgotten = max(m.forgotten, time-m.window)
	}
}

// known replays the log: the last five batches of each producer that is known at its end.
func (m *model) known() map[uint64][]logged {
	known := map[uint64][]logged{}
	for _, b := range m.log {
		for id, of := range known {
			if b.Time-of[len(of)-1].Time >= m.idle {
				delete(known, id)
			}
		}
		if b.Producer == 0 {
			continue
		}
		of := known[b.Producer]
		if len(of) > 0 && of[0].ProducerEpoch != b.ProducerEpoch {
			of = nil
		}
		of = append(of[:len(of):len(of)], b)
		known[b.Producer] = of[max(0, len(of)-5):]
		if len(known) > m.most {
			oldest := b.Producer
			for id, of := range known {
				if of[len(of)-1].Seq < known[oldest][len(known[oldest])-1].Seq {
					oldest = id
				}
			}
			delete(known, oldest)
		}
	}
	return known
}

// check is the verdict on a batch of a producer with those last batches.
func (m *model) check(of []logged, epoch, sequence uint32, now int64) dedup.Standing {
	if len(of) == 0 || now-of[len(of)-1].Time >= m.idle {
		if sequence == 0 {
			return dedup.Standing{Verdict: dedup.Fresh}
		}
		return dedup.Standing{Verdict: dedup.Unknown}
	}
	last := of[len(of)-1]
	switch {
	case epoch < last.ProducerEpoch:
		return dedup.Standing{Verdict: dedup.Fenced}
	case epoch > last.ProducerEpoch && sequence == 0:
		return dedup.Standing{Verdict: dedup.Fresh}
	case epoch > last.ProducerEpoch:
		return dedup.Standing{Verdict: dedup.Gap}
	case sequence == last.ProducerSequence+1:
		return dedup.Standing{Verdict: dedup.Fresh}
	case sequence > last.ProducerSequence:
		return dedup.Standing{Verdict: dedup.Gap, Expected: last.ProducerSequence + 1}
	}
	for _, b := range of {
		if b.ProducerSequence == sequence {
			return dedup.Standing{Verdict: dedup.Repeated, Offset: b.BaseOffset, Count: b.Count}
		}
	}
	if len(of) < 5 { // all that was stored is known, and this was not: it was answered as duplicates
		return dedup.Standing{Verdict: dedup.Repeated, Offset: -1}
	}
	return dedup.Standing{Verdict: dedup.Past}
}

// history runs random steps on a state and on the model.
type history struct {
	*testing.T
	*model
	random *rand.Rand
	state  *dedup.State
	budget *dedup.Budget
	grew   bool // the window became longer: replicas may know more than they must
	ids    uint64
	steps  []string
}

func (h *history) options() dedup.Options {
	return dedup.Options{WindowNanos: h.window, IdleNanos: h.idle, MaxProducers: h.most, Budget: h.budget}
}

func TestHistoriesAgainstModel(t *testing.T) {
	t.Parallel()
	seeds := uint64(3000)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 1))
		h := &history{
			T: t, random: random, ids: 2 + random.Uint64N(300), budget: dedup.NewBudget(1 << 30),
			model: &model{window: 60 * second, idle: 100 * second, most: 1 + random.IntN(8), forgotten: math.MinInt64},
		}
		h.state = dedup.New(h.options())
		for range 60 {
			h.step()
			h.compare()
			if t.Failed() {
				t.Fatalf("seed %d, after:\n%s", seed, h.steps)
			}
		}
		h.state.Close()
		if used := h.budget.Used(); used != 0 {
			t.Fatalf("seed %d: %d bytes of the budget are in use after the end", seed, used)
		}
	}
}

func (h *history) did(format string, args ...any) {
	h.steps = append(h.steps, fmt.Sprintf(format+"\n", args...))
}

func (h *history) step() {
	seq, time, _ := h.last()
	switch n := h.random.IntN(20); {
	case n < 12:
		h.append()
	case n < 14 && seq > h.committed:
		to := h.committed + 1 + h.random.Uint64N(seq-h.committed)
		h.did("commit %d", to)
		h.commit(to)
		h.state.Committed(to)
	case n < 17 && seq > max(h.committed, h.loaded):
		floor := max(h.committed, h.loaded)
		h.cut(floor + 1 + h.random.Uint64N(seq-floor))
	case n == 17 && seq > 0:
		h.did("load %d", seq)
		h.reload(seq, time)
	case n == 18 && h.random.IntN(3) == 0:
		before := h.window
		h.window = int64(10+h.random.IntN(100)) * second
		h.grew = h.grew || h.window > before
		h.did("window %d", h.window)
		h.state.Window().SetNanos(h.window)
	case n == 19 && seq > 0 && h.random.IntN(3) == 0:
		h.did("rebuild")
		h.rebuild()
	}
}

func (h *history) append() {
	seq, time, next := h.last()
	b := logged{Batch: dedup.Batch{Seq: seq + 1, Time: time + h.random.Int64N(20)*second/2, BaseOffset: next}}
	if h.random.IntN(10) == 0 {
		b.Time += 50 * second
	}
	b.Count = uint32(h.random.IntN(8))
	if h.random.IntN(20) == 0 {
		b.Count = 200
	}
	for i := range b.Count {
		if h.random.IntN(4) > 0 {
			b.ids = append(b.ids, dedup.Stored{Offset: next + int64(i), ID: number(h.random.Uint64N(h.ids))})
		}
	}
	if b.Count > 0 && h.random.IntN(3) > 0 {
		b.Producer = 1 + h.random.Uint64N(1+h.random.Uint64N(uint64(h.most)+2))
		b.ProducerEpoch = uint32(h.random.IntN(3))
		if of := h.known()[b.Producer]; len(of) > 0 {
			b.ProducerEpoch = max(b.ProducerEpoch/2, of[0].ProducerEpoch)
			if of[0].ProducerEpoch == b.ProducerEpoch {
				b.ProducerSequence = of[len(of)-1].ProducerSequence + 1
			}
		}
	}
	h.did("append %+v with %d ids", b.Batch, len(b.ids))
	h.log = append(h.log, b)
	h.state.Append(b.Batch, b.ids)
}

func (h *history) cut(seq uint64) {
	h.did("cut %d", seq)
	h.log = h.log[:seq-1]
	if err := h.state.Truncated(seq); err != nil {
		h.Error(err)
	}
}

func (h *history) reload(seq uint64, time int64) {
	snapshot := h.state.Save(nil, seq, time)
	if !h.grew {
		if again := h.replayed().Save(nil, seq, time); !bytes.Equal(snapshot, again) {
			h.Errorf("another replica saves %d bytes, other than these %d:\n%x\n%x", len(again), len(snapshot), again, snapshot)
		}
	}
	h.state.Close()
	loaded, at, err := dedup.Load(h.options(), snapshot)
	if err != nil || at != seq {
		h.Fatalf("loading the snapshot of %d gives %d, %v", seq, at, err)
	}
	h.state, h.loaded = loaded, seq
	h.forgotten = max(h.forgotten, time-h.window)
	if again := loaded.Save(nil, seq, time); !bytes.Equal(again, snapshot) {
		h.Error("a loaded state saves other bytes than it was loaded from")
	}
}

// replayed is the state of a replica that appended the same batches, and never any that were cut.
func (h *history) replayed() *dedup.State {
	options := h.options()
	options.Budget = nil
	s := dedup.New(options)
	for _, b := range h.log {
		s.Append(b.Batch, b.ids)
	}
	return s
}

// rebuild cuts what cannot be undone, if anything, and begins anew.
func (h *history) rebuild() {
	if floor := max(h.committed, h.loaded); floor > 0 {
		cut := 1 + h.random.Uint64N(floor)
		if err := h.state.Truncated(cut); !errors.Is(err, dedup.ErrRebuild) {
			h.Errorf("cutting at %d below %d gives %v, want ErrRebuild", cut, floor, err)
		}
		h.log = h.log[:cut-1]
	}
	h.state.Close()
	h.state = dedup.New(h.options())
	for _, b := range h.log {
		h.state.Append(b.Batch, b.ids)
	}
	h.committed, h.loaded, h.forgotten = 0, 0, math.MinInt64
}

// compare asks state and model the same questions.
func (h *history) compare() {
	_, time, _ := h.last()
	now := time + h.random.Int64N(70)*second
	for range 20 {
		id := number(h.random.Uint64N(h.ids))
		offset, found := h.state.Window().Lookup(id, now)
		want, must, sure := h.lookup(id, now)
		if found && (offset != want || !must) || !found && must && sure {
			h.Errorf("at %d an id is found %t under %d, want %t under %d", now, found, offset, must, want)
		}
	}
	if effective := h.state.Window().EffectiveNanos(now); !h.grew && effective != h.window {
		h.Errorf("the effective window is %d, want %d", effective, h.window)
	}
	known := h.known()
	for producer := range uint64(h.most) + 3 {
		epoch, sequence := uint32(h.random.IntN(3)), uint32(h.random.IntN(12))
		got := h.state.Producers().Check(producer, epoch, sequence, now)
		if want := h.check(known[producer], epoch, sequence, now); got != want {
			h.Errorf("at %d batch %d of epoch %d of producer %d is %+v, want %+v", now, sequence, epoch, producer, got, want)
		}
	}
}
