// Package host runs the streams of a broker: it opens their partitions when the broker starts, makes new ones, and closes
// them. What streams there are stands in the folders of their partitions.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Config of a Host.
type Config struct {
	Folder *Folder
	Files  *commitlog.Files
	Marks  *commitlog.Marks
	Source *capture.Source
	Now    func() time.Time
	// OnFault is called when a log has failed for good.
	OnFault func(error)
	Logger  *slog.Logger
}

// Host is safe for concurrent use.
type Host struct {
	config Config

	// changing is held, I/O included, by whoever makes a stream.
	changing sync.Mutex

	mu      sync.Mutex
	streams map[string]*Stream // by name; guarded by mu

	stop  chan struct{} // closed when the host closes
	tasks sync.WaitGroup
}

// flushMarks is how late a mark may be durable.
const flushMarks = time.Second

// Open starts all streams that have folders. They capture when it returns.
func Open(ctx context.Context, config Config) (*Host, error) {
	h := &Host{config: config, streams: map[string]*Stream{}, stop: make(chan struct{})}
	partitions, unknown, err := config.Folder.partitionFolders()
	if err != nil {
		return nil, fmt.Errorf("listing partitions: %w", err)
	}
	for _, name := range unknown {
		config.Logger.Warn("not a partition; left alone", "folder", name)
	}
	for _, id := range partitions {
		if err := h.open(ctx, id); err != nil {
			return nil, errors.Join(err, h.Close(context.WithoutCancel(ctx)))
		}
	}
	h.tasks.Go(h.keepMarks)
	return h, nil
}

// keepMarks makes marks durable now and then. Without them the next start reads more, and takes damage for a torn tail;
// so a failure is told, and tried again.
func (h *Host) keepMarks() {
	ticker := time.NewTicker(flushMarks)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := h.config.Marks.Flush(); err != nil {
				h.config.Logger.Error("marks were not written", "error", err)
			}
		case <-h.stop:
			return
		}
	}
}

func (h *Host) open(ctx context.Context, id uuid.UUID) error {
	s, err := h.config.Folder.readMeta(id)
	if isUnfinished(err) {
		h.config.Logger.Warn("a partition was never finished; left alone", "folder", h.config.Folder.partitionDir(id))
		return nil
	}
	if err != nil {
		return err
	}
	if other := h.streams[s.Config.GetName()]; other != nil {
		return fmt.Errorf("two folders hold stream %q; move %s away", s.Config.GetName(), h.config.Folder.partitionDir(id))
	}
	if err := h.start(ctx, id, s); err != nil {
		return fmt.Errorf("stream %q: %w", s.Config.GetName(), err)
	}
	h.streams[s.Config.GetName()] = s
	return nil
}

// start opens the log of the stream's partition, leads it and captures.
func (h *Host) start(ctx context.Context, id uuid.UUID, s *Stream) error {
	dir := filepath.Join(h.config.Folder.partitionDir(id), "log"+strconv.Itoa(recordsLog))
	log, report, err := commitlog.Open(dir, commitlog.Options{
		Files: h.config.Files, Marks: h.config.Marks, Partition: id, LogID: recordsLog,
		SegmentBytes: s.Config.GetSegmentBytes(), SegmentAge: s.Config.GetSegmentAge().AsDuration(),
	})
	if err != nil {
		return err
	}
	h.tell(s, &report)
	epoch, _ := log.LastEpoch()
	s.Partition, err = partition.Lead(partition.Config{
		Log: log, Epoch: epoch + 1, Now: h.config.Now, OnFault: h.config.OnFault, OnFull: h.fullTeller(s),
	})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	s.subscription, err = h.config.Source.Subscribe(ctx, s.Config.GetSubjects(), s.Partition)
	if err != nil {
		return errors.Join(err, s.Partition.Close())
	}
	return nil
}

// fullTeller logs that the disk of the stream is full, and that it no longer is.
func (h *Host) fullTeller(s *Stream) func(error) {
	log := h.config.Logger.With("stream", s.Config.GetName())
	return func(err error) {
		if err != nil {
			log.Error("the disk is full: publishes are refused and captured messages wait; make room", "error", err)
			return
		}
		log.Info("there is room on the disk again")
	}
}

// tell logs what opening a log found.
func (h *Host) tell(s *Stream, report *commitlog.Report) {
	log := h.config.Logger.With("stream", s.Config.GetName())
	for _, cut := range report.Cut {
		if cut.Unused() {
			continue
		}
		log.Warn("the end of a segment was not whole and was cut off", "file", cut.File, "position", cut.Position, "bytes", cut.Bytes, "reason", cut.Reason)
	}
	for _, damage := range report.Damaged {
		log.Error("stored bytes are damaged; they are left as they are and not served", "file", damage.File, "position", damage.Position, "error", damage.Err)
	}
	if report.Lost != nil {
		log.Error("files of the log are gone", "from", report.Lost.From, "to", report.Lost.To)
	}
	for _, name := range report.Removed {
		log.Info("an unfinished file was removed", "file", name)
	}
	for _, name := range report.Unknown {
		log.Warn("an unknown file was left alone", "file", name)
	}
}

// Create makes a stream. It captures when Create returns. A stream of that name with the same configuration is returned
// as it is if acceptExisting is set; any other is a *StreamExistsError.
func (h *Host) Create(ctx context.Context, asked *trestlev1.StreamConfig, acceptExisting bool) (s *Stream, existed bool, err error) {
	config, err := complete(asked)
	if err != nil {
		return nil, false, err
	}
	h.changing.Lock()
	defer h.changing.Unlock()
	if s, err := h.Get(config.GetName()); err == nil {
		differing := differences(s.Config, config)
		if acceptExisting && len(differing) == 0 {
			return s, true, nil
		}
		return nil, true, &StreamExistsError{Stream: config.GetName(), Differences: differing}
	}
	s = &Stream{Config: config, UUID: uuid.New()}
	if err := h.make(ctx, s); err != nil {
		return nil, false, fmt.Errorf("creating stream %q: %w", config.GetName(), err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[config.GetName()] = s
	return s, false, nil
}

// make makes the folder of a new stream's partition and starts it. On an error nothing is left of it.
func (h *Host) make(ctx context.Context, s *Stream) error {
	f, id := h.config.Folder, uuid.New()
	dir := f.partitionDir(id)
	err := f.fs.MkdirAll(dir)
	if err == nil {
		err = f.writeMeta(id, s)
	}
	if err == nil {
		err = f.fs.SyncDir(filepath.Dir(dir))
	}
	if err == nil {
		err = h.start(ctx, id, s)
	}
	if err != nil {
		h.config.Marks.Forget(commitlog.LogName{Partition: id, LogID: recordsLog})
		return errors.Join(err, f.fs.RemoveAll(dir), f.fs.SyncDir(filepath.Dir(dir)))
	}
	return nil
}

// Get returns the stream of that name.
func (h *Host) Get(name string) (*Stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.streams[name]
	if s == nil {
		return nil, &StreamNotFoundError{Stream: name}
	}
	return s, nil
}

// PartitionOf returns a partition of a stream.
func (h *Host) PartitionOf(name string, id int32) (*partition.Partition, error) {
	s, err := h.Get(name)
	if err != nil {
		return nil, err
	}
	if id != 0 {
		return nil, &PartitionNotFoundError{Stream: name, Partition: id, Partitions: 1}
	}
	return s.Partition, nil
}

// List returns at most limit streams whose names match the glob and come after the name after, in the order of names.
func (h *Host) List(glob, after string, limit int) ([]*Stream, error) {
	if glob == "" {
		glob = "*"
	}
	if _, err := path.Match(glob, ""); err != nil {
		return nil, &InvalidError{"glob", fmt.Sprintf("%q is not a pattern; use * ? and [a-z]", glob)}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*Stream
	for name, s := range h.streams {
		if match, _ := path.Match(glob, name); match && name > after {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *Stream) int {
		if a.Config.GetName() < b.Config.GetName() {
			return -1
		}
		return 1
	})
	return found[:min(limit, len(found))], nil
}

// Close ends all captures, stores what was received, and closes the partitions.
func (h *Host) Close(ctx context.Context) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	h.mu.Lock()
	streams := h.streams
	h.streams = map[string]*Stream{}
	h.mu.Unlock()
	var errs []error
	for _, s := range streams {
		errs = append(errs, s.subscription.Drain(ctx))
	}
	for _, s := range streams {
		errs = append(errs, s.Partition.Close())
	}
	close(h.stop)
	h.tasks.Wait()
	return errors.Join(errs...)
}
