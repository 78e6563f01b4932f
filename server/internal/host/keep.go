package host

import (
	"context"
	"sync"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/partition"
)

const (
	// tick is how often partitions look after themselves and marks become durable.
	tick = time.Second
	// emptyTrash is how often the trash is looked through, and trashAge how long something stays in it.
	emptyTrash = time.Minute
	trashAge   = time.Hour
	// leastTrashAge ends the halving of ages on a full disk: what is younger goes as one.
	leastTrashAge = time.Minute
	// restFiles is how often files that were not used since the last time are closed.
	restFiles = 15 * time.Second
)

// keep does what time brings about until ctx ends.
func (h *Host) keep(ctx context.Context) {
	second, rest, minute := time.NewTicker(tick), time.NewTicker(restFiles), time.NewTicker(emptyTrash)
	defer second.Stop()
	defer rest.Stop()
	defer minute.Stop()
	for {
		select {
		case <-second.C:
			h.tick()
		case <-rest.C:
			if err := h.config.Files.Rest(); err != nil {
				h.config.Logger.Error("files were not closed in order", "error", err)
			}
		case <-minute.C:
			h.emptyTrash(trashAge)
		case <-ctx.Done():
			return
		}
	}
}

// tick lets partitions look after themselves and makes marks durable. Without marks the next start reads more, and takes
// damage for a torn tail; so a failure is told, and tried again.
func (h *Host) tick() {
	now := h.config.Now()
	h.disk.look()
	h.clearTrash()
	h.tickBallast()
	for _, runs := range h.allRunning() {
		runs.partition.Tick(now)
	}
	if err := h.config.Marks.Flush(); err != nil {
		h.config.Logger.Error("marks were not written", "error", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ticked = now
}

func (h *Host) allRunning() []running {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []running
	for _, runs := range h.runs {
		if runs.partition != nil {
			all = append(all, runs)
		}
	}
	return all
}

// clearTrash frees a disk on which nothing more is taken in of what was deleted, though not an hour ago: the older half of
// the hour first, then the older half of what is left, and so on, until there is room.
func (h *Host) clearTrash() {
	for age := trashAge / 2; ; age /= 2 {
		space, err := h.disk.space()
		if err != nil || partition.Guard(space) == nil {
			return
		}
		if age < leastTrashAge {
			h.emptyTrash(0)
			h.disk.look()
			return
		}
		h.emptyTrash(age)
		h.disk.look()
	}
}

// emptyTrash removes what was deleted that long ago, or longer.
func (h *Host) emptyTrash(age time.Duration) {
	removed, err := commitlog.EmptyTrash(h.config.Folder.fs, h.config.Folder.trashDir(), h.config.Now().Add(-age))
	if err != nil {
		h.config.Logger.Error("the trash was not emptied", "error", err)
	}
	for _, folder := range removed {
		h.config.Logger.Info("a deleted partition was removed for good", "folder", folder)
	}
}

// disk tells thousands of partitions how full the disk is, with one question a tick.
type disk struct {
	fs     vfs.FS
	folder string

	mu   sync.Mutex
	seen vfs.Space // the zero value: not asked yet
	err  error
}

func (d *disk) look() {
	seen, err := d.fs.Space(d.folder)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen, d.err = seen, err
}

func (d *disk) space() (vfs.Space, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen, d.err
}
