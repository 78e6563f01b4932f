package host

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// Feature levels that this program works at (protocol.md 3.10).
const minFeatureLevel, maxFeatureLevel = 1, 1

// secretBytes is the size of the cluster's secret.
const secretBytes = 32

// registerAgain is how long a refused registration waits for the state that it was refused by.
const registerAgain = 20 * time.Millisecond

// makeCluster makes the cluster, if the metadata is empty, and sees that it is the one the folder belongs to.
func (h *Host) makeCluster(ctx context.Context) error {
	folder := h.config.Folder
	id, err := uuid.Parse(folder.ClusterID)
	if err != nil {
		return fmt.Errorf("the cluster's UUID %q in %s is damaged: %w; restore the file from a backup", folder.ClusterID, identityName, err)
	}
	if h.config.Metadata.State().Cluster().FeatureLevel == 0 {
		secret := make([]byte, secretBytes)
		if _, err := rand.Read(secret); err != nil {
			return fmt.Errorf("making the cluster: %w", err)
		}
		_, err := h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_InitCluster{
			InitCluster: &clusterv1.InitCluster{Uuid: id[:], Secret: secret, Name: folder.Cluster},
		}})
		if err != nil && !refusedFor(err, metadata.ReasonInitialized) {
			return fmt.Errorf("making the cluster: %w", err)
		}
	}
	if have := h.config.Metadata.State().Cluster().UUID; have != id {
		return fmt.Errorf("the data folder %s belongs to cluster %s and the metadata is that of %s; choose another folder", folder.dir, id, have)
	}
	return nil
}

// ownEpoch is the broker epoch of this process' own registration, 0 while there is none: then it has no role (protocol.md
// 3.6).
func (h *Host) ownEpoch(state *metadata.State) uint64 {
	b, ok := state.Broker(h.config.Folder.Broker)
	if !ok || b.Fenced || b.Incarnation != h.incarnation {
		return 0
	}
	return b.Epoch
}

// register begins this process' life in the cluster, with what was found in the folder (C5).
func (h *Host) register(ctx context.Context) error {
	for {
		if err := h.fenceFormerLife(ctx); err != nil {
			return err
		}
		err := h.tryRegister(ctx)
		// The state was behind: it catches up.
		if !refusedFor(err, metadata.ReasonStaleBroker) && !refusedFor(err, metadata.ReasonStaleState) && !refusedFor(err, metadata.ReasonBrokerAlive) {
			return err
		}
		select {
		case <-time.After(registerAgain):
		case <-ctx.Done():
			return err
		}
	}
}

// fenceFormerLife ends the life before this one. That it is over needs no waiting: it had this folder, and this process
// holds the lock on it.
func (h *Host) fenceFormerLife(ctx context.Context) error {
	b, known := h.config.Metadata.State().Broker(h.config.Folder.Broker)
	if !known || b.Fenced || b.Incarnation == h.incarnation || b.Storage.String() != h.config.Folder.Storage {
		return nil
	}
	_, err := h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_FenceBrokers{
		FenceBrokers: &clusterv1.FenceBrokers{Brokers: []*clusterv1.BrokerAt{{Name: b.Name, Epoch: b.Epoch}}},
	}})
	if err != nil {
		return fmt.Errorf("ending the last life of broker %q: %w", b.Name, err)
	}
	return nil
}

func (h *Host) tryRegister(ctx context.Context) error {
	folder := h.config.Folder
	storage, err := uuid.Parse(folder.Storage)
	if err != nil {
		return fmt.Errorf("the storage UUID %q in %s is damaged: %w; restore the file from a backup", folder.Storage, identityName, err)
	}
	state := h.config.Metadata.State() // not newer than the one that the reports are made from
	known, _ := state.Broker(folder.Broker)
	_, err = h.config.Metadata.Propose(ctx, &clusterv1.Command{Command: &clusterv1.Command_RegisterBroker{
		RegisterBroker: &clusterv1.RegisterBroker{
			Name: folder.Broker, Incarnation: h.incarnation[:], Storage: storage[:], RaftId: h.config.RaftID,
			ClientAddress: h.config.ClientAddress, PeerAddress: h.config.PeerAddress,
			PreviousEpoch: known.Epoch, CleanEpoch: h.clean, Reports: h.reports(),
			MinFeatureLevel: minFeatureLevel, MaxFeatureLevel: maxFeatureLevel, StateIndex: state.Index(),
		},
	}})
	if err != nil {
		return fmt.Errorf("registering broker %q: %w", folder.Broker, err)
	}
	return nil
}
