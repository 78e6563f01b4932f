package partition

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

const (
	snapshotSuffix = ".dedup"
	unfinished     = ".tmp"
	keptSnapshots  = 2

	// defaultSnapshotBytes is read in a few tenths of a second.
	defaultSnapshotBytes = 32 << 20
	// leastSnapshotBytes is what a start reads at once, sooner than it finds, checks and loads a snapshot.
	leastSnapshotBytes = firstChunk
	// snapshotShare is how many times a snapshot's bytes are appended until the next, at least.
	snapshotShare = 4
)

// snapshotName names a snapshot after the last batch in it: another history of the log does not take it for its own.
func snapshotName(b commitlog.BatchName) string {
	return fmt.Sprintf("%020d-%020d-%08x%s", b.Seq, b.Epoch, b.CRC, snapshotSuffix)
}

func parseSnapshotName(name string) (b commitlog.BatchName, ok bool) {
	n, err := fmt.Sscanf(name, "%d-%d-%x", &b.Seq, &b.Epoch, &b.CRC)
	return b, n == 3 && err == nil && snapshotName(b) == name
}

// keepSnapshot sees that a snapshot is written each time that so much was appended that reading it would keep a start waiting,
// and so much more than the last snapshot had that writing them costs little beside the log. Only the writing goroutine
// calls it, when the state and the log agree.
func (p *Partition) keepSnapshot(appended int64) {
	d := p.config.Dedup
	p.memory.bytes += appended
	if d == nil || d.Folder == "" || p.memory.bytes < max(d.snapshotBytes(), snapshotShare*p.memory.saved) {
		return
	}
	p.mu.Lock()
	start := !p.upkeep.saving
	p.upkeep.saving = true
	p.mu.Unlock()
	if !start {
		return
	}
	c := p.copyMemory()
	p.tasks.Go(func() {
		p.problem(p.writeCopy(&c))
		p.mu.Lock()
		defer p.mu.Unlock()
		p.upkeep.saving = false
	})
}

func (d *Dedup) snapshotBytes() int64 {
	if d.SnapshotBytes <= 0 {
		return defaultSnapshotBytes
	}
	return d.SnapshotBytes
}

// saveSnapshot writes the last snapshot of a leadership, if so much was appended since the one before that reading it would
// cost a start more than the snapshot costs the stop: of thousands of partitions that nothing happened in, none does.
func (p *Partition) saveSnapshot() {
	d := p.config.Dedup
	if d == nil || d.Folder == "" || p.memory.bytes < min(leastSnapshotBytes, d.snapshotBytes()) {
		return
	}
	p.cover.writing.Lock() // a purge may be writing one
	defer p.cover.writing.Unlock()
	saved := p.memory.save()
	if err := writeSnapshot(p.log.FS(), d.Folder, p.log.Last(), saved); err != nil && p.config.OnProblem != nil {
		p.config.OnProblem(err)
	}
}

// writeSnapshot writes a snapshot durably and removes the older ones, but for one.
func writeSnapshot(fsys vfs.FS, folder string, b commitlog.BatchName, saved []byte) error {
	name := filepath.Join(folder, snapshotName(b))
	err := fsys.MkdirAll(folder)
	if err == nil {
		err = writeFile(fsys, name, saved)
	}
	if err == nil {
		err = fsys.SyncDir(folder)
	}
	if err == nil {
		err = removeOldSnapshots(fsys, folder)
	}
	if err != nil {
		return fmt.Errorf("writing a snapshot of dedup state: %w", err)
	}
	return nil
}

func writeFile(fsys vfs.FS, name string, b []byte) error {
	temporary := name + unfinished
	if err := fsys.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := fsys.Create(temporary)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, 0)
	if err == nil {
		err = file.SyncData()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, fsys.Remove(temporary))
	}
	return fsys.Rename(temporary, name)
}

func removeOldSnapshots(fsys vfs.FS, folder string) error {
	names, err := snapshotsIn(fsys, folder)
	if err != nil {
		return err
	}
	for _, b := range names[min(keptSnapshots, len(names)):] {
		if err := fsys.Remove(filepath.Join(folder, snapshotName(b))); err != nil {
			return err
		}
	}
	return nil
}

// snapshotsIn lists the snapshots of a folder, newest first.
func snapshotsIn(fsys vfs.FS, folder string) ([]commitlog.BatchName, error) {
	entries, err := fsys.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []commitlog.BatchName
	for _, e := range entries {
		if b, ok := parseSnapshotName(e.Name()); ok {
			names = append(names, b)
		} else if strings.HasSuffix(e.Name(), snapshotSuffix+unfinished) {
			if err := fsys.Remove(filepath.Join(folder, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	slices.SortFunc(names, func(a, b commitlog.BatchName) int { return strings.Compare(snapshotName(b), snapshotName(a)) })
	return names, nil
}
