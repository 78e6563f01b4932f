package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

const (
	snapshotFolder = "snapshots"
	snapshotsKept  = 2
)

// snapshotStore keeps the newest snapshots. raft's own file store passes over a snapshot whose description it cannot
// read, which silently takes the state back in time; here a bad newest snapshot is an error. It is safe for concurrent
// use.
type snapshotStore struct {
	raftFolder, folder string
	log                *slog.Logger
	stop               *failStop
	published          func(*snapshotFooter) error // called with every new snapshot, once it is durable

	mu    sync.Mutex
	known []*snapshotFooter // newest first
}

var _ raft.SnapshotStore = (*snapshotStore)(nil)

// openSnapshots verifies all snapshots. The newest must be whole; an older one that is not is left alone, with a
// warning, since nothing reads it.
func openSnapshots(raftFolder string, logger *slog.Logger, stop *failStop) (*snapshotStore, error) {
	s := &snapshotStore{raftFolder: raftFolder, folder: filepath.Join(raftFolder, snapshotFolder), log: logger, stop: stop}
	if err := os.MkdirAll(s.folder, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of snapshots: %w", err)
	}
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		path := filepath.Join(s.folder, name)
		footer, state, err := openSnapshot(path)
		if err == nil {
			err = state.Close()
		}
		switch {
		case err == nil:
			s.known = append(s.known, footer)
		case i == 0:
			return nil, damage(raftFolder, path, 0, err)
		default:
			logger.Warn("an older raft snapshot is damaged; it is not needed", "file", path, "error", err)
		}
	}
	return s, nil
}

// names lists the snapshots' files, newest first, and removes what was never finished.
func (s *snapshotStore) names() ([]string, error) {
	found, err := os.ReadDir(s.folder)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	var names []string
	for _, file := range found {
		switch {
		case strings.HasSuffix(file.Name(), snapshotSuffix):
			names = append(names, file.Name())
		case strings.HasSuffix(file.Name(), newSuffix):
			if err := os.Remove(filepath.Join(s.folder, file.Name())); err != nil {
				return nil, fmt.Errorf("remove an unfinished snapshot: %w", err)
			}
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// newest returns the newest snapshot, nil if there is none.
func (s *snapshotStore) newest() *snapshotFooter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) == 0 {
		return nil
	}
	return s.known[0]
}

// newestBytes is the size of the newest snapshot's state, 0 if there is none.
func (s *snapshotStore) newestBytes() int64 {
	if newest := s.newest(); newest != nil {
		return newest.Size
	}
	return 0
}

// Create begins a snapshot of the state up to an index.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("snapshots of version %d are unknown", version)
	}
	footer := snapshotFooter{
		Index: index, Term: term, Configuration: configuration.Clone().Servers, ConfigurationIndex: configurationIndex,
	}
	sink, err := newSnapshotSink(s, footer)
	if err != nil {
		return nil, s.failed(s.folder, err)
	}
	return sink, nil
}

// List returns the snapshots, newest first.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	metas := make([]*raft.SnapshotMeta, len(s.known))
	for i, footer := range s.known {
		metas[i] = footer.meta()
	}
	return metas, nil
}

// Open verifies a snapshot and returns its state. One that was removed in between is an ordinary error.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	path := filepath.Join(s.folder, filepath.Base(id)+snapshotSuffix)
	footer, state, err := openSnapshot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("open snapshot: %w", err)
	}
	if err != nil {
		err = damage(s.raftFolder, path, 0, err)
		s.stop.report(err)
		return nil, nil, err
	}
	return footer.meta(), state, nil
}

// publish makes a finished file the newest snapshot.
func (s *snapshotStore) publish(unfinished string, footer *snapshotFooter) error {
	path := filepath.Join(s.folder, footer.name()+snapshotSuffix)
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	if err := syncFolder(s.folder); err != nil {
		return err
	}
	if err := s.keep(footer); err != nil {
		return err
	}
	return s.published(footer)
}

// keep adds a snapshot to the known ones and removes those beyond the number that is kept.
func (s *snapshotStore) keep(footer *snapshotFooter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = slices.DeleteFunc(s.known, func(old *snapshotFooter) bool { return old.name() == footer.name() })
	s.known = append(s.known, footer)
	slices.SortFunc(s.known, func(a, b *snapshotFooter) int { return strings.Compare(b.name(), a.name()) })
	if len(s.known) > snapshotsKept {
		s.known = s.known[:snapshotsKept]
	}
	return s.prune(s.known[len(s.known)-1].name())
}

// prune removes the snapshots that are older than oldest. A reader that has one open can read on.
func (s *snapshotStore) prune(oldest string) error {
	found, err := os.ReadDir(s.folder)
	if err != nil {
		return err
	}
	for _, file := range found {
		name, ok := strings.CutSuffix(file.Name(), snapshotSuffix)
		if !ok || name >= oldest {
			continue
		}
		if err := os.Remove(filepath.Join(s.folder, file.Name())); err != nil {
			return err
		}
	}
	return nil
}

// failed reports a write that failed, and returns it.
func (s *snapshotStore) failed(file string, err error) error {
	if err == nil {
		return nil
	}
	err = persistError(file, "snapshot", err)
	s.stop.report(err)
	return err
}
