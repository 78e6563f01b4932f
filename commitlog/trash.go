package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// deletedName is the file in a folder in the trash that says since when it is there.
const deletedName = "deleted"

// Trash moves a folder of closed logs into the trash folder, under its own name, or with a number behind it if one of that
// name is there already. It stays until EmptyTrash. The move is durable when it returns.
func Trash(fsys vfs.FS, folder, trash string, now time.Time) error {
	if err := fsys.MkdirAll(trash); err != nil {
		return fmt.Errorf("deleting %s: %w", folder, err)
	}
	err := writeSmall(fsys, filepath.Join(folder, deletedName), []byte(now.UTC().Format(time.RFC3339Nano)))
	if err == nil { // else it would stay in the trash for ever
		err = fsys.SyncDir(folder)
	}
	if err == nil {
		err = renameFree(fsys, folder, filepath.Join(trash, filepath.Base(folder)))
	}
	if err == nil && !mutant("commitlog-trash-unsynced") {
		err = errors.Join(fsys.SyncDir(trash), fsys.SyncDir(filepath.Dir(trash)), fsys.SyncDir(filepath.Dir(folder)))
	}
	if err != nil {
		return fmt.Errorf("deleting %s: %w", folder, err)
	}
	return nil
}

// renameFree gives the folder the name, or the first that is free of those made of it and a number.
func renameFree(fsys vfs.FS, folder, name string) error {
	free := name
	for n := 1; ; n++ {
		_, err := fsys.Stat(free)
		if errors.Is(err, fs.ErrNotExist) {
			return fsys.Rename(folder, free)
		}
		if err != nil {
			return err
		}
		free = fmt.Sprintf("%s.%d", name, n)
	}
}

// EmptyTrash removes the folders that were deleted before the time, and says which. What has no readable time of deletion
// stays.
func EmptyTrash(fsys vfs.FS, trash string, before time.Time) (removed []string, err error) {
	entries, err := fsys.ReadDir(trash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("emptying the trash: %w", err)
	}
	for _, e := range entries {
		folder := filepath.Join(trash, e.Name())
		deleted, err := deletedAt(fsys, folder)
		if err != nil || !deleted.Before(before) {
			continue
		}
		if err := fsys.RemoveAll(folder); err != nil {
			return removed, fmt.Errorf("emptying the trash: %w", err)
		}
		removed = append(removed, folder)
	}
	return removed, nil
}

func deletedAt(fsys vfs.FS, folder string) (time.Time, error) {
	file, err := fsys.Open(filepath.Join(folder, deletedName))
	if err != nil {
		return time.Time{}, err
	}
	b := make([]byte, len(time.RFC3339Nano)+16)
	n, err := file.ReadAt(b, 0)
	if isEnd(err) {
		err = nil
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, string(b[:n]))
}

// writeSmall writes a new small file, replacing one that is there, and makes its contents durable.
func writeSmall(fsys vfs.FS, name string, contents []byte) error {
	if err := fsys.Remove(name); err != nil && !isNotExist(err) {
		return err
	}
	file, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(contents, 0)
	if err == nil {
		err = file.SyncData()
	}
	return errors.Join(err, file.Close())
}
