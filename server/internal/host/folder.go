package host

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// Formats of a data folder. In one of the first, the folders of partitions alone say what streams there are.
const (
	firstFormat   = 1
	currentFormat = 2
)

// Names in a data folder.
const (
	identityName   = "trestle.json"
	lockName       = "lock"
	marksName      = "marks"
	partitionsName = "partitions"
	metaName       = "meta.json"
	raftName       = "raft"
	trashName      = "trash"
	cleanName      = "clean"
	tempSuffix     = ".tmp"
)

// Identity says whose a data folder is.
type Identity struct {
	Format  int    `json:"format"`
	Storage string `json:"storage_uuid"` // of the folder
	Broker  string `json:"broker"`
	Cluster string `json:"cluster"`
	// ClusterID is the cluster's UUID.
	ClusterID string `json:"cluster_uuid,omitempty"`
	// RaftID is that of the folder's metadata, once all streams are in there; empty: not yet.
	RaftID string `json:"raft_id,omitempty"`
}

// Folder is a data folder that this process has locked.
type Folder struct {
	Identity
	fs   vfs.FS
	dir  string
	lock io.Closer
}

// OpenFolder locks the data folder and reads whose it is, making a new one if there is none. An empty broker name takes
// that of the folder, or else, for a new folder, fallback. In a folder that is refused for whose it is, or for its format,
// nothing is written.
func OpenFolder(fsys vfs.FS, dir, broker, fallback, cluster string) (*Folder, error) {
	f := &Folder{fs: fsys, dir: dir}
	if _, err := f.read(broker, cluster); err != nil {
		return nil, err
	}
	if err := makeFolder(fsys, dir); err != nil {
		return nil, fmt.Errorf("making the data folder %s: %w", dir, err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &inUseError{dir: dir, cause: err}
	}
	if err != nil {
		return nil, fmt.Errorf("locking the data folder %s: %w", dir, err)
	}
	f.lock = lock
	if err := f.makeRoom(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := f.identify(broker, fallback, cluster); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// inUseError says that another process has locked a data folder.
type inUseError struct {
	dir   string
	cause error // which names the lock file
}

func (e *inUseError) Error() string {
	return fmt.Sprintf("the data folder %s is in use by another process; stop that one or choose another with --data-dir", e.dir)
}

func (e *inUseError) Unwrap() error { return e.cause }

// makeFolder makes the folder and sees that its name is durable.
func makeFolder(fsys vfs.FS, dir string) error {
	if err := fsys.MkdirAll(filepath.Join(dir, partitionsName)); err != nil {
		return err
	}
	return errors.Join(fsys.SyncDir(dir), fsys.SyncDir(filepath.Dir(filepath.Clean(dir))))
}

// identify reads whose the folder is, and makes it this broker's if it is new.
func (f *Folder) identify(broker, fallback, cluster string) error {
	name := filepath.Join(f.dir, identityName)
	found, err := f.read(broker, cluster)
	switch {
	case err != nil:
		return err
	case !found:
		f.Identity = Identity{
			Format: currentFormat, Storage: uuid.NewString(), Broker: cmp.Or(broker, fallback), Cluster: cluster, ClusterID: uuid.NewString(),
		}
		return writeJSON(f.fs, name, f.Identity)
	case f.ClusterID == "": // of the first format
		f.ClusterID = uuid.NewString()
		return writeJSON(f.fs, name, f.Identity)
	}
	return nil
}

// read reads whose the folder is, and refuses one that is not this broker's. It says false of a new one.
func (f *Folder) read(broker, cluster string) (found bool, err error) {
	name := filepath.Join(f.dir, identityName)
	b, err := readFile(f.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", name, err)
	}
	f.Identity = Identity{}
	if err := json.Unmarshal(b, &f.Identity); err != nil {
		return false, fmt.Errorf("%s is damaged: %w; restore it from a backup, the rest of the folder is untouched", name, err)
	}
	switch {
	case f.Format < firstFormat || f.Format > currentFormat:
		return true, fmt.Errorf("the data folder %s has format %d and this program knows %d; start the version that wrote it", f.dir, f.Format, currentFormat)
	case broker != "" && broker != f.Broker:
		return true, fmt.Errorf("the data folder %s belongs to broker %q, not %q; leave --id out or choose another folder", f.dir, f.Broker, broker)
	case cluster != f.Cluster:
		return true, fmt.Errorf("the data folder %s belongs to cluster %q, not %q; set --cluster %s or choose another folder", f.dir, f.Cluster, cluster, f.Cluster)
	}
	return true, nil
}

// RaftFolder is where the metadata lies. A folder whose metadata is complete and gone is an error: made anew, it would
// know of no stream.
func (f *Folder) RaftFolder() (string, error) {
	dir := filepath.Join(f.dir, raftName)
	if f.RaftID == "" {
		return dir, nil
	}
	if _, err := f.fs.Stat(dir); err != nil {
		return "", fmt.Errorf("the metadata of this broker is gone: %w; put %s back from a backup, the partitions are untouched", err, dir)
	}
	return dir, nil
}

// CheckRaftID refuses metadata that is not this folder's.
func (f *Folder) CheckRaftID(id string) error {
	if f.RaftID != "" && f.RaftID != id {
		return fmt.Errorf("the metadata in %s is that of %s and not of %s, which this data folder belongs to; put the right one back from a backup",
			filepath.Join(f.dir, raftName), id, f.RaftID)
	}
	return nil
}

// settled notes that all streams of the folder are in that metadata: from now on it alone says what there is.
func (f *Folder) settled(raftID string) error {
	if f.RaftID == raftID {
		return nil
	}
	identity := f.Identity
	identity.Format, identity.RaftID = currentFormat, raftID
	if err := writeJSON(f.fs, filepath.Join(f.dir, identityName), identity); err != nil {
		return err
	}
	f.Identity = identity
	return nil
}

// OpenMarks opens the marks of the folder's logs.
func (f *Folder) OpenMarks() (*commitlog.Marks, error) {
	return commitlog.OpenMarks(f.fs, filepath.Join(f.dir, marksName))
}

// Close unlocks the folder.
func (f *Folder) Close() error { return f.lock.Close() }

func (f *Folder) partitionDir(partition uuid.UUID) string {
	return filepath.Join(f.dir, partitionsName, partition.String())
}

func (f *Folder) logDir(partition uuid.UUID) string {
	return filepath.Join(f.partitionDir(partition), "log"+strconv.Itoa(recordsLog))
}

// dedupDir is where the snapshots of what was stored within the dedup window lie.
func (f *Folder) dedupDir(partition uuid.UUID) string {
	return filepath.Join(f.partitionDir(partition), "dedup")
}

func (f *Folder) trashDir() string { return filepath.Join(f.dir, trashName) }

// readFile reads a small file.
func readFile(fsys vfs.FS, name string) ([]byte, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	b := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(file, 0, size), b)
	return b, errors.Join(err, file.Close())
}

// writeJSON puts v into a file of that name, readable by people. After a crash the file is the old one or the new one.
func writeJSON(fsys vfs.FS, name string, v any) error {
	b, err := encodeJSON(v)
	if err == nil {
		err = replaceFile(fsys, name, b)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func encodeJSON(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

func replaceFile(fsys vfs.FS, name string, b []byte) error {
	temp := name + tempSuffix
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, 0)
	if err == nil {
		err = file.SyncData()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// partitionFolders lists the folders of partitions; what is not one is reported, never touched.
func (f *Folder) partitionFolders() (partitions []uuid.UUID, unknown []string, err error) {
	entries, err := f.fs.ReadDir(filepath.Join(f.dir, partitionsName))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		id, err := uuid.Parse(e.Name())
		if err != nil || !strings.EqualFold(id.String(), e.Name()) || !e.IsDir() {
			unknown = append(unknown, filepath.Join(f.dir, partitionsName, e.Name()))
			continue
		}
		partitions = append(partitions, id)
	}
	return partitions, unknown, nil
}
