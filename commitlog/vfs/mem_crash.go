package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash is a power cut. The instance is dead from then on, and so are its files and locks: their calls return
// ErrCrashed. The new instance holds what survived, all of it durable, and its capacity; hooks, failures to come and
// counts of reads are gone.
func (m *Mem) Crash(keep Keep) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead.Store(true)
	return m.crashed(keep, m.crashes.Uint64())
}

// CrashClone is what Crash would have returned, while this instance goes on untouched. Another call makes another
// choice. The choice of a later Crash is the same whether clones were taken or not.
func (m *Mem) CrashClone(keep Keep) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.crashed(keep, m.clones.Uint64())
}

// Kill ends the process but not the machine: the instance, its files and its locks are dead as after Crash, the new
// instance has all that was written. What was not durable is still not, what DropCache would take away it still would.
// Hooks, failures to come and counts of reads are gone.
func (m *Mem) Kill() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead.Store(true)
	next := NewMem(m.crashes.Uint64())
	next.disk, next.tree = m.disk, m.tree
	m.tree, m.disk = newTree(), &space{} // the old ones belong to the next instance and its mutex
	for n := range m.used {
		n.handles, n.locked = 0, false
		if !n.linked {
			n.contents.free()
		}
	}
	clear(m.used)
	return next
}

func (m *Mem) crashed(keep Keep, seed uint64) *Mem {
	next := NewMem(seed)
	next.disk.limit = m.disk.limit
	c := crash{keep: keep, seed: seed, into: next}
	c.decide(m.tree.pending)
	next.tree.root.folder = c.folder(next.tree, m.tree.root.folder).folder
	return next
}

// crash makes the files and folders that survive.
type crash struct {
	keep Keep
	seed uint64
	into *Mem

	// survived has the names that are not as they were last made durable.
	survived map[*folder]map[string]*inode
}

// decide chooses the changes of names that survive. One that builds on a lost one is lost.
func (c *crash) decide(pending []*nameChange) {
	c.survived = map[*folder]map[string]*inode{}
	if c.keep == KeepNone {
		return
	}
	rng := c.rng(0)
	lives := likelihood(c.keep, rng)
	kept := map[*nameChange]bool{}
	for _, change := range pending {
		if change.durable || rng.Float64() >= lives || !allKept(change.after, kept) {
			continue
		}
		kept[change] = true
		for _, e := range change.edits {
			if c.survived[e.in] == nil {
				c.survived[e.in] = map[string]*inode{}
			}
			c.survived[e.in][e.name] = e.to
		}
	}
}

func allKept(changes []*nameChange, kept map[*nameChange]bool) bool {
	for _, c := range changes {
		if !c.durable && !kept[c] {
			return false
		}
	}
	return true
}

// rng is the source of choices for one file, or of names for 0, so that they do not depend on each other's order.
func (c *crash) rng(id uint64) *rand.Rand {
	return rand.New(rand.NewPCG(c.seed, id))
}

// folder makes the folder and all in it, in the order of names, so that equal crashes number the files equally.
func (c *crash) folder(t *tree, old *folder) *inode {
	names := maps.Clone(old.durable)
	for name, n := range c.survived[old] {
		if n == nil {
			delete(names, name)
		} else {
			names[name] = n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if n.folder != nil {
			names[name] = c.folder(t, n.folder)
		} else {
			im := n.contents.afterCrash(c.keep, func() *rand.Rand { return c.rng(n.id) })
			names[name] = t.newFile(newContents(im, c.into.disk))
		}
		names[name].linked = true
	}
	return t.newFolder(maps.Clone(names), names)
}
