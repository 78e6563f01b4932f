package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/metadata"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// wanted is a partition as the newest state has it.
type wanted struct {
	metadata.Partition
	stream metadata.Stream
	text   *text // shared by the stream's partitions
}

func (w *wanted) meta() *meta {
	return &meta{Stream: w.stream.ID, Number: w.Number, Config: w.stream.Config}
}

func (w *wanted) log() commitlog.LogName { return logOf(w.ID) }

func logOf(partition uuid.UUID) commitlog.LogName {
	return commitlog.LogName{Partition: partition, LogID: recordsLog}
}

// replica is a copy of a partition in this broker's folder, with the role that it has taken. Whoever reconciles owns it.
type replica struct {
	id uuid.UUID
	// log is open and has no role; nil: the partition below has it, or it is closed.
	log     *commitlog.Log
	segment segmentSettings // that the log was opened with
	damaged bool            // below its mark, as opening found
	unclean bool            // its last leadership, here, did not end in order

	partition *partition.Partition // that leads; nil: no role
	epoch     uint64               // in which it leads
	mode      trestlev1.Mode
	revision  uint64             // of the configuration that it runs with
	captures  map[string]Capture // by subject
	capturing capture.Live       // settings of the captures
	fanout    *fanout.Fanout     // nil: nothing is fanned out
	since     int64              // when it began to lead, if messages may have been published since; unix nanoseconds
}

// segmentSettings are those that a log keeps as long as it is open.
type segmentSettings struct {
	bytes     int64
	age       time.Duration
	encrypted bool
}

// EncryptLabel is the label of streams whose values are encrypted where they are stored; its value is true.
const EncryptLabel = "liftbridge.encryption"

var errNoKey = errors.New("the values of the stream are encrypted, and this broker was started without the key: start it with LIFTBRIDGE_ENCRYPTION_KEY set to that key")

func segmentsOf(c *trestlev1.StreamConfig) segmentSettings {
	return segmentSettings{
		bytes: c.GetSegmentBytes(), age: c.GetSegmentAge().AsDuration(), encrypted: encrypted(c),
	}
}

// open opens the log of a replica, making it if there is none. A settled one is as the clean stop of another life left it.
func (h *Host) open(r *replica, c *trestlev1.StreamConfig, settled bool) error {
	settings := segmentsOf(c)
	var key []byte
	if settings.encrypted {
		if key = h.config.EncryptionKey; key == nil {
			return errNoKey
		}
	}
	log, report, err := commitlog.Open(h.config.Folder.logDir(r.id), commitlog.Options{
		Files: h.config.Files, Marks: h.config.Marks, Partition: r.id, LogID: recordsLog,
		SegmentBytes: settings.bytes, SegmentAge: settings.age, Key: key, Settled: settled,
	})
	if err != nil {
		return err
	}
	h.tell(c.GetName(), &report)
	r.log, r.segment, r.damaged = log, settings, len(report.Damaged) > 0 || report.Lost != nil
	return nil
}

// lead takes up the leadership that the state gives. Whatever role the replica had before is over.
func (h *Host) lead(ctx context.Context, r *replica, w *wanted) error {
	if err := h.standDown(ctx, r); err != nil {
		return err
	}
	has := r.log != nil
	if has && r.segment != segmentsOf(w.stream.Config) {
		if err := r.closeLog(); err != nil {
			return err
		}
	}
	if err := h.makeFolder(w, has); err != nil {
		return err
	}
	if r.log == nil {
		if err := h.open(r, w.stream.Config, false); err != nil {
			return err
		}
	}
	last, appended := r.log.LastEpoch()
	if last > w.LeaderEpoch {
		return fmt.Errorf("the log in %s was led in epoch %d, which is after epoch %d of the metadata: it is another cluster's, or the metadata is an old copy; put the one back that belongs here",
			h.config.Folder.logDir(r.id), last, w.LeaderEpoch)
	}
	r.since = 0
	if h.publishedMeanwhile() && appended > 0 {
		r.since = h.config.Now().UnixNano()
	}
	p, err := partition.Lead(h.partitionConfig(r, w))
	if err != nil {
		return err
	}
	r.partition, r.log, r.epoch, r.mode, r.unclean, r.revision = p, nil, w.LeaderEpoch, w.Mode, false, w.stream.Revision
	return nil
}

func (h *Host) partitionConfig(r *replica, w *wanted) partition.Config {
	settings := settingsOf(w.stream.Config)
	return partition.Config{
		Log: r.log, Epoch: w.LeaderEpoch, Now: h.config.Now,
		OnFault: h.config.OnFault, OnFull: h.fullTeller(w.stream.Name()), OnProblem: h.problemTeller(w.stream.Name()),
		Settings: settings, Mode: modeOf(w.Mode), Unclean: r.unclean || h.publishedMeanwhile(), Space: h.disk.space, Meter: h.config.Meter, Turns: h.turns,
		Dedup: &partition.Dedup{
			Key:    dedupKey(h.config.Metadata.State().Cluster(), w.stream.ID),
			Budget: h.dedup, Folder: h.config.Folder.dedupDir(w.ID),
		},
	}
}

// publishedMeanwhile says whether messages may have been published since a partition was led last: a NATS runs on without
// this broker, and the embedded one without this partition.
func (h *Host) publishedMeanwhile() bool { return h.config.PublishesWithoutUs || h.opened }

// makeFolder makes the folder of a partition, which may be known to have its log. A mark without a log is that of a copy that
// is gone, which whoever gave this broker the role knows; the new log begins without it.
func (h *Host) makeFolder(w *wanted, has bool) error {
	if !has {
		var err error
		if has, err = h.config.Folder.hasLog(w.ID); err != nil {
			return err
		}
	}
	if _, marked := h.config.Marks.Get(w.log()); marked && !has {
		h.config.Logger.Error("a copy of a partition is gone; it begins anew, empty", "stream", w.stream.Name(), "partition", w.Number)
		h.config.Marks.Forget(w.log())
		if err := h.config.Marks.Flush(); err != nil {
			return err
		}
	}
	return h.config.Folder.explain(w.ID, w.meta(), w.text)
}

// serve makes a replica that leads do what its stream asks for now: the settings, the mode, and what it listens on. What is
// received before a pause is stored, and what is published once it is over is recorded.
func (h *Host) serve(ctx context.Context, r *replica, w *wanted) error {
	if r.revision != w.stream.Revision {
		if err := h.config.Folder.explain(w.ID, w.meta(), w.text); err != nil {
			return err
		}
		r.partition.Configure(settingsOf(w.stream.Config))
		r.revision = w.stream.Revision
	}
	r.capturing.Set(captureSettings(w.stream.Config))
	if err := h.fanOut(r, w); err != nil {
		return err
	}
	if w.Mode != trestlev1.Mode_MODE_ACTIVE {
		if err := h.listen(ctx, r, w, nil); err != nil {
			return err
		}
		return r.setMode(w.Mode)
	}
	if err := r.setMode(w.Mode); err != nil {
		return err
	}
	return h.listen(ctx, r, w, listens(w.stream, w.Number))
}

func (r *replica) setMode(m trestlev1.Mode) error {
	if r.mode == m {
		return nil
	}
	if err := r.partition.SetMode(modeOf(m)); err != nil {
		return err
	}
	r.mode = m
	return nil
}

// listen makes the replica capture those subjects and no others. New ones come first: a message may be recorded twice
// while subjects that overlap change, and none is missed.
func (h *Host) listen(ctx context.Context, r *replica, w *wanted, subjects []string) error {
	if r.captures == nil {
		r.captures = map[string]Capture{}
	}
	for _, subject := range subjects {
		if r.captures[subject] != nil {
			continue
		}
		c, err := h.config.Subscribe(ctx, h.target(r, w, subject), r.partition)
		if err != nil {
			return err
		}
		r.captures[subject] = c
	}
	if len(subjects) > 0 {
		r.since = 0
	}
	var errs []error
	for subject, c := range r.captures {
		if !slices.Contains(subjects, subject) {
			errs = append(errs, c.Drain(ctx))
			delete(r.captures, subject)
		}
	}
	return errors.Join(errs...)
}

// target is what a replica listens on with one of its subjects.
func (h *Host) target(r *replica, w *wanted, subject string) capture.Target {
	by, shared := sharingOf(w.stream.Config)
	return capture.Target{
		UUID: w.stream.ID, Partition: w.Number, Subjects: []string{subject}, Group: w.stream.Config.GetQueueGroup(),
		Shared: shared, By: by, Settings: &r.capturing, Secret: fanout.SecretOf(h.config.Metadata.State().Cluster().Secret), Known: &h.known, Since: r.since,
	}
}

// standDown ends the role: what was received is stored first, and who waits is answered. The log is closed with it.
func (h *Host) standDown(ctx context.Context, r *replica) error {
	if r.partition == nil {
		return nil
	}
	h.put(r.id, running{})
	r.endFanout()
	err := errors.Join(h.listen(ctx, r, nil, nil), r.partition.Close())
	r.unclean = err != nil
	r.partition, r.epoch, r.revision, r.captures = nil, 0, 0, nil
	return err
}

func (r *replica) closeLog() error {
	if r.log == nil {
		return nil
	}
	err := r.log.Close()
	r.log = nil
	return err
}

// close ends whatever the replica does.
func (h *Host) close(ctx context.Context, r *replica) error {
	return errors.Join(h.standDown(ctx, r), r.closeLog())
}
