package host

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// StreamMeasures are sums over the partitions of a stream that run here, as of now.
type StreamMeasures struct {
	Stream     string
	Partitions int
	Faults     int // partitions with something wrong
	// Messages that can be read, and those there ever were: the sum of the next offsets.
	Messages, EverStored int64
	Bytes                int64 // on disk
	QueuedBytes          int   // waiting to be appended
	// DedupWindow is the shortest that a partition keeps in truth, DedupWanted what the stream asks for.
	DedupWindow, DedupWanted time.Duration
}

// Measures of what runs here.
type Measures struct {
	Streams []StreamMeasures // in the order of names
	// DedupBytes of all dedup windows together, and how many they may have.
	DedupBytes, DedupLimit int64
	// Disk that the data folder is on; 0: not known.
	DiskBytes, DiskFreeBytes int64
	// OpenFiles of logs.
	OpenFiles int
	// Epoch of this broker's registration; 0: it has no role.
	Epoch uint64
	// Ticked is when partitions were last looked after.
	Ticked time.Time
}

// Measure looks at everything that runs. Its cost grows with the number of partitions.
func (h *Host) Measure() Measures {
	state := h.config.Metadata.State()
	byStream := map[uuid.UUID]*StreamMeasures{}
	for id, runs := range h.everyRunning() {
		p, known := state.Partition(id)
		s, there := state.StreamByID(p.Stream)
		if !known || !there {
			continue
		}
		sum := byStream[s.ID]
		if sum == nil {
			sum = &StreamMeasures{Stream: s.Name(), DedupWanted: s.Config.GetDedupWindow().AsDuration()}
			sum.DedupWindow = sum.DedupWanted
			byStream[s.ID] = sum
		}
		sum.add(&runs)
	}
	m := Measures{DedupBytes: h.dedup.Used(), DedupLimit: h.dedup.Limit(), Epoch: h.ownEpoch(state), OpenFiles: h.config.Files.Open()}
	for _, sum := range byStream {
		m.Streams = append(m.Streams, *sum)
	}
	slices.SortFunc(m.Streams, func(a, b StreamMeasures) int { return cmp.Compare(a.Stream, b.Stream) })
	if space, err := h.disk.space(); err == nil {
		m.DiskBytes, m.DiskFreeBytes = space.TotalBytes, space.FreeBytes
	}
	h.mu.Lock()
	m.Ticked = h.ticked
	h.mu.Unlock()
	return m
}

func (m *StreamMeasures) add(runs *running) {
	m.Partitions++
	if runs.partition == nil {
		m.Faults++
		return
	}
	now := runs.partition.State()
	if runs.fault != nil || now.Fault != nil {
		m.Faults++
	}
	m.Messages += now.HighWatermark - now.LogStart
	m.EverStored += now.HighWatermark
	m.Bytes += now.Bytes
	m.QueuedBytes += now.QueuedBytes
	m.DedupWindow = min(m.DedupWindow, now.DedupWindow)
}

func (h *Host) everyRunning() map[uuid.UUID]running {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.runs)
}

// staleAfter is how long partitions may go without being looked after: a disk that does not answer holds that up.
const staleAfter = 30 * time.Second

// Healthy says why this broker cannot do its part for now; nil: it can.
func (h *Host) Healthy() error {
	h.mu.Lock()
	ticked := h.ticked
	h.mu.Unlock()
	switch late := h.config.Now().Sub(ticked); {
	case h.ownEpoch(h.config.Metadata.State()) == 0:
		return errors.New("the broker is not registered in its cluster; it tries again")
	case late > staleAfter:
		return fmt.Errorf("partitions were not looked after for %v; look whether the disk answers", late.Round(time.Second))
	}
	return nil
}
