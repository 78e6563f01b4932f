package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// running is what everybody may know of a replica.
type running struct {
	partition *partition.Partition // nil: it does not serve
	epoch     uint64
	mode      trestlev1.Mode
	revision  uint64
	fault     error // why it does not do what it should
}

// fits says whether that is what the state wants.
func (r *running) fits(w *wanted) bool {
	return r.partition != nil && r.fault == nil && r.epoch == w.LeaderEpoch && r.mode == w.Mode && r.revision == w.stream.Revision
}

func (h *Host) put(id uuid.UUID, r running) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.lookups.changes.Add(1)
	if r == (running{}) {
		delete(h.runs, id)
		return
	}
	h.runs[id] = r
}

func (h *Host) running(id uuid.UUID) running {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.runs[id]
}

// looked tells those who wait for a change to take effect that it may have.
func (h *Host) looked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.progress)
	h.progress = make(chan struct{})
}

// task is a replica and what the state wants of it.
type task struct {
	*replica
	wanted
	err error
}

// reconcile makes what runs here fit the newest state. What the state does not mention stays as it is on the disk (S14).
func (h *Host) reconcile(ctx context.Context) error {
	defer h.looked()
	state := h.config.Metadata.State()
	if h.ownEpoch(state) == 0 {
		return h.rejoin(ctx)
	}
	errs := []error{h.removeDeleted(ctx, state), h.leaveStrange(ctx, state)}
	tasks := h.unsettled(state)
	h.leadAll(ctx, tasks)
	errs = append(errs, atOnce(tasks, func(t *task) error {
		if t.err == nil && t.partition != nil {
			h.put(t.id, running{partition: t.partition, epoch: t.epoch, mode: t.mode, revision: t.revision})
			t.err = h.serve(ctx, t.replica, &t.wanted)
			h.put(t.id, running{partition: t.partition, epoch: t.epoch, mode: t.mode, revision: t.revision, fault: t.err})
		}
		if t.err != nil {
			return fmt.Errorf("partition %d of stream %q: %w", t.Number, t.stream.Name(), t.err)
		}
		return nil
	}))
	return errors.Join(errs...)
}

// unsettled lists the replicas that are not what the state wants.
func (h *Host) unsettled(state *metadata.State) []*task {
	var tasks []*task
	texts := map[uuid.UUID]*text{}
	for p := range state.PartitionsOn(h.config.Folder.Broker) {
		stream, _ := state.StreamByID(p.Stream)
		w := wanted{Partition: p, stream: stream}
		runs := h.running(p.ID)
		leads := p.Leader == h.config.Folder.Broker
		if leads && runs.fits(&w) || !leads && runs.partition == nil {
			continue
		}
		r := h.replicas[p.ID]
		if r == nil {
			r = &replica{id: p.ID}
			h.replicas[p.ID] = r
		}
		if w.text = texts[p.Stream]; w.text == nil {
			w.text = &text{}
			texts[p.Stream] = w.text
		}
		tasks = append(tasks, &task{replica: r, wanted: w})
	}
	return tasks
}

// leadAll gives replicas the role that the state does. The marks of the new leaders' logs are durable before anybody is
// served: from then on a log that is not there is one that is gone, and not one that was never made (see reports).
func (h *Host) leadAll(ctx context.Context, tasks []*task) {
	var begun []*task
	for _, t := range tasks {
		if t.Leader != h.config.Folder.Broker || t.partition == nil || t.epoch != t.LeaderEpoch {
			begun = append(begun, t)
		}
	}
	if len(begun) == 0 {
		return
	}
	_ = atOnce(begun, func(t *task) error { // each task keeps its error
		if t.Leader != h.config.Folder.Broker {
			t.err = h.standDown(ctx, t.replica)
			return nil
		}
		if t.err = h.lead(ctx, t.replica, &t.wanted); t.err != nil {
			h.put(t.id, running{fault: t.err})
		}
		return nil
	})
	if err := h.config.Marks.Flush(); err != nil {
		for _, t := range begun {
			t.err = errors.Join(t.err, err, h.standDown(ctx, t.replica))
			h.put(t.id, running{fault: t.err})
		}
	}
}

// leaveStrange closes logs of which the state knows nothing and leaves them alone.
func (h *Host) leaveStrange(ctx context.Context, state *metadata.State) error {
	var errs []error
	for id, r := range h.replicas {
		if p, known := state.Partition(id); known && slices.Contains(p.Replicas, h.config.Folder.Broker) {
			continue
		}
		errs = append(errs, h.close(ctx, r))
		delete(h.replicas, id)
		if !h.strange[id] {
			h.strange[id] = true
			h.config.Logger.Warn("the metadata knows no such partition here; left alone", "folder", h.config.Folder.partitionDir(id))
		}
	}
	return errors.Join(errs...)
}

// rejoin begins another life: others took this broker for dead and gave its roles away.
func (h *Host) rejoin(ctx context.Context) error {
	h.config.Logger.Warn("the cluster took this broker for dead; it registers again")
	var errs []error
	for _, r := range h.replicas {
		errs = append(errs, h.close(ctx, r))
	}
	h.replicas, h.clean = map[uuid.UUID]*replica{}, 0
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := h.recover(); err != nil {
		return err
	}
	return h.register(ctx)
}

// hands is how many partitions are worked on at once: most of the time each waits for the disk.
const hands = 32

// atOnce does something with all of the list, some at a time, and returns all errors.
func atOnce[T any](list []T, do func(T) error) error {
	errs := make([]error, len(list))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(hands, len(list)) {
		workers.Go(func() {
			for i := range next {
				errs[i] = do(list[i])
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	workers.Wait()
	return errors.Join(errs...)
}
