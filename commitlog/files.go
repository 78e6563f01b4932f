package commitlog

import (
	"container/list"
	"errors"
	"fmt"
	"sync"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// Files opens files on use and keeps those used last open, so that any number of logs shares a bounded number of
// descriptors. It is safe for concurrent use.
type Files struct {
	fs    vfs.FS
	limit int

	mu   sync.Mutex
	open map[string]*handle // by name
	idle *list.List         // of *handle without users, used last in front
}

// handle is an open file with users. It is closed when it has none and its turn comes.
type handle struct {
	vfs.File
	name   string
	users  int           // guarded by Files.mu
	place  *list.Element // in Files.idle while users is 0; guarded by Files.mu
	rested bool          // not used since the last Rest; guarded by Files.mu
}

// NewFiles returns a cache over fs that keeps at most limit unused files open. Files in use are not counted.
func NewFiles(fs vfs.FS, limit int) *Files {
	return &Files{fs: fs, limit: limit, open: map[string]*handle{}, idle: list.New()}
}

// FS is the file system below.
func (f *Files) FS() vfs.FS { return f.fs }

// acquire opens the file or finds it open. It stays open until release.
func (f *Files) acquire(name string) (*handle, error) {
	return f.use(name, f.fs.OpenReadWrite)
}

// create makes a new file and acquires it.
func (f *Files) create(name string) (*handle, error) {
	return f.use(name, f.fs.Create)
}

func (f *Files) use(name string, open func(string) (vfs.File, error)) (*handle, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.open[name]; h != nil {
		if h.users == 0 {
			f.idle.Remove(h.place)
		}
		h.rested = false
		h.users++
		return h, nil
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	h := &handle{File: file, name: name, users: 1}
	f.open[name] = h
	return h, nil
}

// release gives back what acquire or create returned. The error is that of closing a file, which loses nothing: what
// was written to it is synced or is not, whether it is open or not.
func (f *Files) release(h *handle) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	h.users--
	if h.users > 0 {
		return nil
	}
	if f.open[h.name] != h { // forgotten while in use
		return h.Close()
	}
	h.place = f.idle.PushFront(h)
	if f.idle.Len() <= f.limit {
		return nil
	}
	last, _ := f.idle.Remove(f.idle.Back()).(*handle)
	delete(f.open, last.name)
	return last.Close()
}

// Rest closes the files that nobody has used since the Rest before. Called now and then, it sees that a log without work
// holds no descriptor. The errors are as those of closing a file that there is no room for: nothing is lost.
func (f *Files) Rest() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for place := f.idle.Back(); place != nil; {
		h, _ := place.Value.(*handle)
		place = place.Prev()
		if !h.rested {
			h.rested = true
			continue
		}
		f.idle.Remove(h.place)
		delete(f.open, h.name)
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}

// Open is how many files are open, used and unused.
func (f *Files) Open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}

// forget makes the next acquire open the file anew: it was removed, renamed or replaced. Those who hold it keep what
// they hold.
func (f *Files) forget(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.open[name]
	if h == nil {
		return nil
	}
	delete(f.open, name)
	if h.users > 0 {
		return nil
	}
	f.idle.Remove(h.place)
	return h.Close()
}

// remove deletes the file. Those who hold it keep what they hold.
func (f *Files) remove(name string) error {
	return errors.Join(f.forget(name), f.fs.Remove(name))
}

// Close closes all files without users. Those in use are an error: somebody did not release them.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for name, h := range f.open {
		if h.users > 0 {
			errs = append(errs, fmt.Errorf("%s is still in use", name))
			continue
		}
		errs = append(errs, h.Close())
		delete(f.open, name)
	}
	f.idle.Init()
	return errors.Join(errs...)
}
