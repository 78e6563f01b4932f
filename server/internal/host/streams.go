package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// effectTimeout is how long a change of a stream may take to have its effect (protocol.md 3.13).
const effectTimeout = 5 * time.Second

// Create makes a stream. Its partitions lead and capture when Create returns. A stream of that name with the same
// configuration is returned as it is if acceptExisting is set; any other is refused.
func (h *Host) Create(ctx context.Context, asked *trestlev1.StreamConfig, acceptExisting bool) (s *trestlev1.StreamState, existed bool, err error) {
	if err := checkBuilt(asked); err != nil {
		return nil, false, err
	}
	if err := h.checkKey(asked); err != nil {
		return nil, false, err
	}
	if asked == nil {
		asked = &trestlev1.StreamConfig{}
	}
	complete, err := metadata.CompleteConfig(asked, 1)
	if err != nil {
		return nil, false, err
	}
	id := uuid.New()
	answer, err := h.config.Metadata.Propose(ctx, createCommand(&clusterv1.CreateStream{
		Uuid: id[:], Config: asked, Partitions: newPartitions(int(complete.GetPartitions())),
		AcceptExisting: acceptExisting, Created: h.config.Now().UnixNano(),
	}))
	if err != nil {
		return nil, false, err
	}
	s, err = h.inEffect(ctx, asked.GetName(), answer)
	return s, answer.GetStream().GetExisted(), err
}

// newPartitions are n partitions that nobody has heard of.
func newPartitions(n int) []*clusterv1.NewPartition {
	list := make([]*clusterv1.NewPartition, 0, max(n, 0))
	for range n {
		id := uuid.New()
		list = append(list, &clusterv1.NewPartition{Uuid: id[:]})
	}
	return list
}

// Update changes the fields of a stream's configuration that are present, if its revision is that one; 0: whatever it is.
func (h *Host) Update(ctx context.Context, asked *trestlev1.StreamConfig, revision uint64) (*trestlev1.StreamState, error) {
	if err := checkBuilt(asked); err != nil {
		return nil, err
	}
	for {
		stream, err := h.Get(asked.GetName())
		if err != nil {
			return nil, err
		}
		if err := checkStaysEncrypted(stream, asked); err != nil {
			return nil, err
		}
		update := &clusterv1.UpdateStream{Uuid: stream.ID[:], Revision: stream.Revision, Config: asked}
		if revision != 0 {
			update.Revision = revision
		}
		if asked.Partitions != nil {
			if n := asked.GetPartitions(); n > metadata.MaxStreamPartitions {
				return nil, &InvalidError{"partitions", fmt.Sprintf("is %d; use at most %d", n, metadata.MaxStreamPartitions)}
			}
			update.Added = newPartitions(int(asked.GetPartitions()) - len(stream.Partitions))
		}
		answer, err := h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_UpdateStream{UpdateStream: update}})
		if revision == 0 && refusedFor(err, metadata.ReasonStaleRevision) && ctx.Err() == nil {
			continue // somebody was faster; what this one asks for holds all the same
		}
		if err != nil {
			return nil, err
		}
		return h.inEffect(ctx, asked.GetName(), answer)
	}
}

// Delete takes a stream away. Its name is free and its data are in the trash when Delete returns; if the disk is slow they
// get there a little later.
func (h *Host) Delete(ctx context.Context, name string) error {
	stream, err := h.Get(name)
	if err != nil {
		return err
	}
	_, err = h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_DeleteStream{
		DeleteStream: &clusterv1.DeleteStream{Uuid: stream.ID[:]},
	}})
	if err != nil {
		return err
	}
	_ = h.await(ctx, func() error {
		for _, id := range stream.Partitions {
			if h.running(id) != (running{}) {
				return errors.New("its partitions still run")
			}
		}
		return nil
	})
	return nil
}

// SetMode pauses, resumes or write-protects partitions of a stream; no numbers: all of them.
func (h *Host) SetMode(ctx context.Context, name string, mode trestlev1.Mode, partitions []int32) (*trestlev1.StreamState, error) {
	stream, err := h.Get(name)
	if err != nil {
		return nil, err
	}
	answer, err := h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_SetStreamMode{
		SetStreamMode: &clusterv1.SetStreamMode{Uuid: stream.ID[:], Mode: mode, Partitions: partitions, Time: h.config.Now().UnixNano()},
	}})
	if err != nil {
		return nil, err
	}
	return h.inEffect(ctx, name, answer)
}

// inEffect returns the stream once it runs as the state has it.
func (h *Host) inEffect(ctx context.Context, name string, answer *clusterv1.Answer) (*trestlev1.StreamState, error) {
	id, err := uuid.FromBytes(answer.GetStream().GetUuid())
	if err != nil {
		return nil, fmt.Errorf("the answer about stream %q names no stream: %w", name, err)
	}
	gone := false
	err = h.await(ctx, func() error {
		state := h.config.Metadata.State()
		stream, ok := state.StreamByID(id)
		if gone = !ok; gone {
			return nil
		}
		return h.runsAll(state, stream)
	})
	if gone {
		return nil, &StreamNotFoundError{Stream: name}
	}
	if err != nil {
		return nil, &NotReadyError{Stream: name, Cause: err}
	}
	return h.Describe(name)
}

// runsAll says why not every partition of the stream runs as the state has it.
func (h *Host) runsAll(state *metadata.State, stream metadata.Stream) error {
	for _, id := range stream.Partitions {
		p, _ := state.Partition(id)
		w := wanted{Partition: p, stream: stream}
		if runs := h.running(id); p.Leader == h.config.Folder.Broker && !runs.fits(&w) || p.Leader == "" {
			return &NotLedError{Stream: stream.Name(), Partition: p.Number, Cause: runs.fault}
		}
	}
	return nil
}

// await waits until check has nothing to complain about, and returns its last complaint if that takes too long.
func (h *Host) await(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, effectTimeout)
	defer cancel()
	for {
		h.mu.Lock()
		progress := h.progress
		h.mu.Unlock()
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return err
		}
	}
}
