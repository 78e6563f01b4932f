package node

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
)

// disk is the raft folder, read and checked.
type disk struct {
	id        string
	store     *store
	log       *logStore
	stable    *stableStore
	snapshots *snapshotStore
}

// openDisk opens the folder's parts and checks that they fit together.
func openDisk(folder, name string, logger *slog.Logger, stop *failStop) (*disk, error) {
	snapshots, err := openSnapshots(folder, logger, stop)
	if err != nil {
		return nil, err
	}
	store, found, err := openStore(folder, func() (string, error) {
		if snapshots.newest() != nil {
			// The log and the votes are gone: to begin anew under the old id would break what they promised.
			return "", damage(folder, filepath.Join(folder, storeFile), 0, errors.New("it is missing beside snapshots"))
		}
		return newIdentity(name)
	})
	if err != nil {
		return nil, err
	}
	d := &disk{id: found.identity, store: store, snapshots: snapshots}
	if err := d.assemble(name, found, stop); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return d, nil
}

func (d *disk) assemble(name string, found *contents, stop *failStop) (err error) {
	if owner, _, _ := strings.Cut(d.id, "@"); owner != name {
		return fmt.Errorf("the raft folder %s belongs to the broker %q, not to %q: start the broker under that name or "+
			"on a folder of its own", d.store.folder, owner, name)
	}
	if err := d.fitting(found); err != nil {
		return err
	}
	d.log = &logStore{store: d.store, snapshots: d.snapshots, stop: stop, first: found.first, last: found.last}
	if superseded(found, d.snapshots.newest()) {
		if err := d.log.remove(found.first, found.last); err != nil {
			return err
		}
	}
	d.snapshots.published = d.log.supersede
	d.stable, err = newStableStore(d.store.path, d.store, stop)
	return err
}

// fitting checks that no entry is missing between the newest snapshot and the log.
func (d *disk) fitting(found *contents) error {
	newest, covered := d.snapshots.newest(), uint64(0)
	if newest != nil {
		covered = newest.Index
		if newest.Term > found.term {
			return damage(d.store.folder, d.store.path, 0, fmt.Errorf(
				"a snapshot was made in term %d, but the store knows term %d only", newest.Term, found.term))
		}
	}
	if found.first > covered+1 {
		return damage(d.store.folder, d.store.path, covered+1, fmt.Errorf(
			"the log begins at entry %d and the newest snapshot ends at %d", found.first, covered))
	}
	return nil
}

// superseded tells whether the log is older than the snapshot: a crash came between the installation of another node's
// snapshot and the removal of the log that it replaced.
func superseded(found *contents, newest *snapshotFooter) bool {
	if newest == nil || found.last == 0 {
		return false
	}
	if found.last < newest.Index {
		return true
	}
	term, held := found.terms[newest.Index]
	return held && term != newest.Term
}
