package partition

import (
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/dedup"
)

// Sync says when what was appended is made durable, and with it the safe position up to which records are committed
// (protocol.md 1.7).
type Sync uint8

// Kinds of Sync.
const (
	// SyncAck commits what is durable.
	SyncAck Sync = iota
	// SyncInterval commits what is written, and makes it durable a little later.
	SyncInterval
	// SyncNone commits what is written, and makes it durable when a segment ends and when the log closes.
	SyncNone
)

// Intervals of SyncInterval.
const (
	DefaultSyncEvery = 100 * time.Millisecond
	MaxSyncEvery     = time.Second
)

// Settings may change while a partition runs: see Configure. The zero value keeps everything, syncs before acks and looks
// at no message id.
type Settings struct {
	Sync Sync
	// SyncEvery is how late something is durable with SyncInterval; 0: DefaultSyncEvery; at most MaxSyncEvery.
	SyncEvery time.Duration
	// Retention says what Tick deletes; limits of 0 are none.
	Retention commitlog.Retention
	// Compaction says how Tick compacts; nil: it does not.
	Compaction *commitlog.Compaction
	// DedupWindow is how long, in append time, a message id is stored once; 0: ids are not looked at. It takes a
	// Config.Dedup.
	DedupWindow time.Duration
	// MaxRecordBytes is the size of the largest record that Publish takes, as Batch.LargestRecord counts it; 0: any.
	MaxRecordBytes int64
}

func (s *Settings) syncEvery() time.Duration {
	if s.SyncEvery <= 0 {
		return DefaultSyncEvery
	}
	return min(s.SyncEvery, MaxSyncEvery)
}

// Dedup is what a partition needs to store a message once.
type Dedup struct {
	// Key is the stream's secret for message ids, the same for its whole life.
	Key dedup.Key
	// Budget is shared by the partitions of a broker; nil: no limit.
	Budget *dedup.Budget
	// Folder is where snapshots go, which no one else puts files into; "": none are kept, and a start reads the log as far
	// back as message ids and producers count.
	Folder string
	// SnapshotBytes is how much is appended between two snapshots at least, and so read at a start; 0: 32 MiB. Where
	// snapshots are large they are written less often.
	SnapshotBytes int64
}

// nanos of the dedup window as package dedup wants them: its 0 is a default of its own.
func (s *Settings) windowNanos() int64 {
	if s.DedupWindow <= 0 {
		return -1
	}
	return int64(s.DedupWindow)
}

// Configure changes the settings. When Sync becomes SyncAck the commit position waits until what was written before is
// durable. A longer dedup window grows into its length.
func (p *Partition) Configure(s Settings) {
	p.mu.Lock()
	p.settings = s
	close(p.changed)
	p.changed = make(chan struct{})
	if s.Sync != SyncNone && !p.closed && p.fault == nil && p.log.Durable().Before(p.log.End()) {
		p.syncDue = true
		p.startSyncLocked()
	}
	p.mu.Unlock()
	p.memory.mu.Lock()
	if p.config.Dedup != nil {
		p.memory.state.Window().SetNanos(s.windowNanos())
	}
	p.memory.mu.Unlock()
	p.advance()
}
