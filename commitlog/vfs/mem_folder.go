package vfs

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// inode is a file or a folder, whatever its names. The mutex of the Mem guards it.
type inode struct {
	id       uint64    // in the order of creation
	contents *contents // of a file
	folder   *folder   // of a folder

	linked  bool // it has a name now, not only before a crash
	handles int  // open files, not more than one of them a lock
	locked  bool
}

// folder is the names in a folder.
type folder struct {
	names   map[string]*inode
	durable map[string]*inode

	last    map[string]*nameChange // the last change of a name that is not durable
	pending []*nameChange          // all changes in this folder that are not durable, in order, and some that are
}

// nameChange is a change of one name, or of two at once, that is not durable yet.
type nameChange struct {
	edits []nameEdit

	// after has the changes that must survive if this one does. They are earlier ones, so there is no circle.
	after []*nameChange

	// oldName has, of a rename, the changes without which what was renamed would not be found under its old name.
	oldName []*nameChange
	durable bool
}

// nameEdit makes a name stand for a file or folder, or for nothing.
type nameEdit struct {
	in     *folder
	name   string
	to     *inode
	synced bool // the folder was synced
}

// tree is all names of a Mem. It knows nothing of contents. The mutex of the Mem guards it.
type tree struct {
	root   *inode
	lastID uint64

	pending []*nameChange // all changes of names that are not durable, in order, and some that are
	durable int           // how many of those are
}

func newTree() *tree {
	t := &tree{}
	t.root = t.newFolder(nil, nil)
	t.root.linked = true
	return t
}

// newFolder makes a folder without a name.
func (t *tree) newFolder(names, durable map[string]*inode) *inode {
	if names == nil {
		names, durable = map[string]*inode{}, map[string]*inode{}
	}
	t.lastID++
	return &inode{id: t.lastID, folder: &folder{names: names, durable: durable, last: map[string]*nameChange{}}}
}

// newFile makes a file without a name.
func (t *tree) newFile(c *contents) *inode {
	t.lastID++
	return &inode{id: t.lastID, contents: c}
}

// place is where a name is, or would be.
type place struct {
	in    *folder
	name  string
	inode *inode        // nil if there is none
	above []*nameChange // changes that are not durable and made the folders above
}

// isRoot says that it is the folder that is in no other.
func (p place) isRoot() bool { return p.in == nil }

// find walks to a name. All folders above it must be there.
func (t *tree) find(name string) (place, error) {
	if name == "" {
		return place{}, fs.ErrNotExist
	}
	at := place{inode: t.root}
	rest := strings.TrimPrefix(cleanName(name), "/")
	for rest != "" {
		switch {
		case at.inode == nil:
			return place{}, fs.ErrNotExist
		case at.inode.folder == nil:
			return place{}, syscall.ENOTDIR
		}
		if !at.isRoot() {
			if change := at.in.last[at.name]; change != nil {
				at.above = append(at.above, change)
			}
		}
		at.in = at.inode.folder
		at.name, rest, _ = strings.Cut(rest, "/")
		at.inode = at.in.names[at.name]
	}
	return at, nil
}

// existing walks to what must be there.
func (t *tree) existing(name string) (place, error) {
	at, err := t.find(name)
	if err == nil && at.inode == nil {
		err = fs.ErrNotExist
	}
	return at, err
}

// cleanName is the name from the root on: relative names begin there as well.
func cleanName(name string) string {
	name = filepath.ToSlash(name)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	return path.Clean(name)
}

// link makes a free place stand for a new file or folder.
func (t *tree) link(at place, n *inode) {
	n.linked = true
	t.change(&nameChange{edits: []nameEdit{{in: at.in, name: at.name, to: n}}})
}

// unlink removes a file or an empty folder. The removal of a folder builds on all changes in it: they emptied it.
func (t *tree) unlink(at place) {
	at.inode.linked = false
	c := &nameChange{edits: []nameEdit{{in: at.in, name: at.name}}}
	if f := at.inode.folder; f != nil {
		c.after = slices.Clone(f.pending)
	}
	t.change(c)
}

// move renames. It builds on what made the folders above the new name, or brought them there: without that it would
// lead nowhere, or make a circle of folders.
func (t *tree) move(from, to place) {
	c := &nameChange{
		edits:   []nameEdit{{in: from.in, name: from.name}, {in: to.in, name: to.name, to: from.inode}},
		after:   to.above,
		oldName: from.above,
	}
	if made := from.in.last[from.name]; made != nil {
		c.oldName = append(c.oldName, made)
	}
	if to.inode != nil {
		to.inode.linked = false
	}
	t.change(c)
}

// change applies a change to the names and notes that it is not durable. It builds on the earlier ones of its names.
func (t *tree) change(c *nameChange) {
	for _, e := range c.edits {
		if earlier := e.in.last[e.name]; earlier != nil {
			c.after = append(c.after, earlier)
		}
		if e.to == nil {
			delete(e.in.names, e.name)
		} else {
			e.in.names[e.name] = e.to
		}
	}
	for i, e := range c.edits {
		e.in.last[e.name] = c
		if i == 0 || e.in != c.edits[0].in {
			e.in.pending = append(e.in.pending, c)
		}
	}
	t.pending = append(t.pending, c)
}

// sync makes the changes in a folder durable, save for renames that wait for their other folder.
func (t *tree) sync(f *folder) {
	for _, c := range f.pending {
		for i := range c.edits {
			e := &c.edits[i]
			e.synced = e.synced || e.in == f
		}
		if c.certain() {
			t.makeDurable(c)
		}
	}
	f.pending = slices.DeleteFunc(f.pending, isDurable)
	if t.durable > len(t.pending)/2 {
		t.pending = slices.DeleteFunc(t.pending, isDurable)
		t.durable = 0
	}
}

func isDurable(c *nameChange) bool { return c.durable }

// certain says whether what was synced decides that the change survives: all its folders, or the one of the new name
// when there is no durable old name to fall back to.
func (c *nameChange) certain() bool {
	first, last := c.edits[0], c.edits[len(c.edits)-1]
	return last.synced && (first.synced || !allDurable(c.oldName))
}

func allDurable(changes []*nameChange) bool {
	return !slices.ContainsFunc(changes, func(c *nameChange) bool { return !c.durable })
}

// makeDurable applies the change to the durable names, after those that it builds on.
func (t *tree) makeDurable(c *nameChange) {
	if c.durable {
		return
	}
	for _, earlier := range c.after {
		t.makeDurable(earlier)
	}
	c.after, c.oldName = nil, nil
	c.durable = true
	t.durable++
	for _, e := range c.edits {
		if e.to == nil {
			delete(e.in.durable, e.name)
		} else {
			e.in.durable[e.name] = e.to
		}
		if e.in.last[e.name] == c {
			delete(e.in.last, e.name)
		}
	}
}

// within says whether a name leads through a folder, or to it.
func (t *tree) within(name string, f *inode) bool {
	for _, above := range parents(name) {
		if at, err := t.find(above); err == nil && at.inode == f {
			return true
		}
	}
	return false
}

// parents has the clean names of all folders above a name, from the top, and the name itself.
func parents(name string) []string {
	name = cleanName(name)
	var all []string
	for i, c := range name {
		if c == '/' && i > 0 {
			all = append(all, name[:i])
		}
	}
	return append(all, name)
}
