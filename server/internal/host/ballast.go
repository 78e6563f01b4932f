package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// The ballast is a file that holds nothing but room: on a full disk it goes, so that a broker can write what it has to, that
// is leader epochs, gaps, marks and raft (protocol.md 1.11). It comes back when there is room again.
const (
	ballastName = "ballast"
	// ballastBytes is its size, but at most a part of the disk.
	ballastBytes = 64 << 20
	ballastPart  = 64
	// A disk is full with less than 1/shedPart of the ballast's size free, and has room again with more than takeFactor times
	// its size, beyond what the disk guard keeps.
	shedPart   = 4
	takeFactor = 2
	guardPart  = 20 // 5 %: see partition.DiskGuardError
)

func (f *Folder) ballast() string { return filepath.Join(f.dir, ballastName) }

// ballastSize on a disk of that size.
func ballastSize(s vfs.Space) int64 { return min(ballastBytes, s.TotalBytes/ballastPart) }

// trimBallast drops the ballast on a full disk, and makes it on one with room. It says whether it did the one or the other.
func (f *Folder) trimBallast(space vfs.Space) (dropped, made bool, err error) {
	size := ballastSize(space)
	if size <= 0 {
		return false, false, nil
	}
	has, err := f.hasBallast(size)
	switch {
	case err != nil:
		return false, false, err
	case has && space.FreeBytes < size/shedPart:
		if err := f.dropBallast(); err != nil {
			return false, false, err
		}
		return true, false, nil
	case !has && space.FreeBytes > space.TotalBytes/guardPart+takeFactor*size:
		return false, true, f.makeBallast(size)
	}
	return false, false, nil
}

// hasBallast says whether there is a ballast of that size at least.
func (f *Folder) hasBallast(size int64) (bool, error) {
	file, err := f.fs.Stat(f.ballast())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && file.Size() >= size, err
}

func (f *Folder) dropBallast() error {
	if err := f.fs.Remove(f.ballast()); err != nil {
		return fmt.Errorf("giving up the ballast for room on a full disk: %w", err)
	}
	return f.fs.SyncDir(f.dir)
}

// makeBallast makes a file of that size. A part of one, as a crash may leave, is of no use and does not stay.
func (f *Folder) makeBallast(size int64) error {
	if err := f.fs.Remove(f.ballast()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making the ballast: %w", err)
	}
	file, err := f.fs.Create(f.ballast())
	if err != nil {
		return fmt.Errorf("making the ballast: %w", err)
	}
	err = errors.Join(file.Preallocate(0, size), file.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("making the ballast: %w", err), f.fs.Remove(f.ballast()))
	}
	return nil
}

// makeRoom drops the ballast if the disk is full: a start writes before anybody looks after the disk.
func (f *Folder) makeRoom() error {
	space, err := f.fs.Space(f.dir)
	if err != nil {
		return fmt.Errorf("asking for the space on the disk of %s: %w", f.dir, err)
	}
	if has, err := f.hasBallast(1); err != nil || !has || space.FreeBytes >= ballastSize(space)/shedPart {
		return err
	}
	return f.dropBallast()
}

// tickBallast looks after the ballast now and then.
func (h *Host) tickBallast() {
	space, err := h.disk.space()
	if err != nil {
		return // the partitions tell
	}
	dropped, _, err := h.config.Folder.trimBallast(space)
	switch {
	case err != nil:
		h.config.Logger.Error("the ballast", "error", err)
	case dropped:
		h.config.Logger.Error("the disk is full; the ballast is given up so that the broker can go on. Make room",
			"folder", h.config.Folder.dir, "free_bytes", space.FreeBytes)
	}
}
