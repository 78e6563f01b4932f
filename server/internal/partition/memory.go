package partition

import (
	"sync"
	"time"

	"github.com/trestlehq/trestle/server/internal/dedup"
)

// memory is what the partition knows of message ids and producers. mu is held without I/O; between the judgement of an
// append and its write the state is ahead of the log.
type memory struct {
	mu    sync.Mutex
	state *dedup.State
	time  int64  // append time of the last batch, unix nanoseconds
	seq   uint64 // of the last batch
	bytes int64  // appended since the last snapshot; only the writing goroutine uses it, and the next
	saved int64  // bytes of the last snapshot that this leadership wrote
}

// forget takes back everything from the batch with that seq on: it was not written.
func (m *memory) forget(seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Truncated(seq)
}

func (m *memory) appended(pl *plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.time, m.seq = pl.time, pl.next.Seq-1
}

// committed says that the batches up to seq are.
func (m *memory) committed(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Committed(seq)
}

// window is the dedup window that is kept in truth.
func (m *memory) window(now int64) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.state.Window().EffectiveNanos(max(now, m.time)))
}

// trim gives memory back that other partitions of the broker need more.
func (m *memory) trim() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Window().Trim()
}

// save is a snapshot of the state, when it and the log agree.
func (m *memory) save() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Save(nil, m.seq, m.time)
}

func newMemory(c *Config) *dedup.State {
	if c.Dedup == nil {
		return dedup.New(dedup.Options{WindowNanos: -1})
	}
	return dedup.New(c.dedupOptions())
}

func (c *Config) dedupOptions() dedup.Options {
	return dedup.Options{WindowNanos: c.Settings.windowNanos(), Budget: c.Dedup.Budget}
}
