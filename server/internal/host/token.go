package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// takeCleanToken returns the broker epoch whose life ended cleanly, 0 if the last one did not, and forgets it durably: a
// process that is killed from now on leaves none (C5).
func (f *Folder) takeCleanToken() (epoch uint64, err error) {
	name := filepath.Join(f.dir, cleanName)
	b, err := readFile(f.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", name, err)
	}
	epoch, parseErr := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if parseErr != nil {
		epoch = 0 // what cannot be read proves nothing
	}
	if err := errors.Join(f.fs.Remove(name), f.fs.SyncDir(f.dir)); err != nil {
		return 0, fmt.Errorf("removing %s: %w", name, err)
	}
	return epoch, nil
}

// leaveCleanToken says durably that nothing was in doubt when that life ended.
func (f *Folder) leaveCleanToken(epoch uint64) error {
	name := filepath.Join(f.dir, cleanName)
	if err := replaceFile(f.fs, name, fmt.Appendf(nil, "%d\n", epoch)); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
