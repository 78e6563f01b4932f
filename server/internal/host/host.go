// Package host makes the partitions that run in a broker those that the metadata wants there: it opens, leads, changes,
// closes and removes them. It reads the newest state and nothing else (protocol.md 3.6): whatever was missed, the next look
// puts right, so that there is no recovery mode.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/dedup"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Config of a Host.
type Config struct {
	Folder   *Folder
	Files    *commitlog.Files
	Marks    *commitlog.Marks
	Metadata Metadata
	// Subscribe captures what is published on the target's subjects, confirmed by NATS when it returns.
	Subscribe func(ctx context.Context, target capture.Target, sink capture.Sink) (Capture, error)
	// Publisher takes what is fanned out; nil: nothing is.
	Publisher fanout.Publisher
	// PublishesWithoutUs says that messages may be published while this broker is down, as with a NATS that is not embedded:
	// each start begins with a gap.
	PublishesWithoutUs bool
	// Unheard says why messages may have been published that the captures of this life did not hear, once they have ended: then
	// the stop is not clean, and the next start says so with gaps. nil: that cannot be.
	Unheard func() error
	// EncryptionKey is the master key, commitlog.KeySize bytes, of streams whose values are encrypted; nil: they cannot be led.
	EncryptionKey []byte
	// RaftID names this broker's metadata; ClientAddress and PeerAddress, HOST:PORT, are what others are told.
	RaftID, ClientAddress, PeerAddress string
	Now                                func() time.Time
	// Meter is told what partitions do; nil: nobody is.
	Meter partition.Meter
	// OnFault is called when a log has failed for good.
	OnFault func(error)
	Logger  *slog.Logger
}

// Capture is what records messages.
type Capture interface {
	// Drain ends it and returns when all that was received is stored.
	Drain(ctx context.Context) error
}

// Host is safe for concurrent use.
type Host struct {
	config      Config
	incarnation uuid.UUID // of this process
	clean       uint64    // broker epoch that the last clean stop left; 0: it was not clean
	dedup       *dedup.Budget
	turns       *partition.Turns
	disk        *disk
	fanned      fanout.Counters
	known       fanout.Known      // markers of what goes out and comes back
	buffers     partition.Buffers // of fan-outs
	opened      bool              // the start is over; what begins to lead now, with a log, led before or was led elsewhere
	producers   producerIDs

	// What follows belongs to whoever reconciles: Open, then run, then Close.
	replicas map[uuid.UUID]*replica // by partition
	strange  map[uuid.UUID]bool     // folders that the state knows nothing of, told

	mu       sync.Mutex
	runs     map[uuid.UUID]running // guarded by mu
	lookups  lookups
	ticked   time.Time     // when partitions were last looked after; guarded by mu
	progress chan struct{} // closed when the state was looked at; guarded by mu

	cancel context.CancelFunc // ends run and keep
	tasks  sync.WaitGroup
}

// Open takes up what the folder holds, registers the broker, and returns when everything that it leads captures and
// serves. The state of the metadata must be up to date.
func Open(ctx context.Context, config Config) (*Host, error) {
	h := &Host{
		config: config, incarnation: uuid.New(), cancel: func() {}, dedup: dedup.NewBudget(dedupBytes),
		turns:    partition.NewTurns(partition.DefaultTurns),
		disk:     &disk{fs: config.Folder.fs, folder: config.Folder.dir},
		replicas: map[uuid.UUID]*replica{}, strange: map[uuid.UUID]bool{},
		runs: map[uuid.UUID]running{}, progress: make(chan struct{}),
	}
	if err := h.start(ctx); err != nil {
		return nil, errors.Join(err, h.Close(context.WithoutCancel(ctx)))
	}
	return h, nil
}

func (h *Host) start(ctx context.Context) (err error) {
	if h.clean, err = h.config.Folder.takeCleanToken(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		func(context.Context) error { return h.recover() }, h.makeCluster, h.register, h.adopt, h.reconcile,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	h.ticked = h.config.Now()
	h.disk.look()
	h.tickBallast()
	h.opened = true
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.cancel = cancel
	h.tasks.Go(func() { h.run(running) })
	h.tasks.Go(func() { h.keep(running) })
	return nil
}

// dedupBytes is the memory of all dedup windows together.
const dedupBytes = 256 << 20

// lookAgain is how long it takes until what went wrong is tried again.
const lookAgain = 500 * time.Millisecond

// run makes what runs fit the state whenever that changes.
func (h *Host) run(ctx context.Context) {
	for {
		changed := h.config.Metadata.Changed()
		var again <-chan time.Time
		if err := h.reconcile(ctx); err != nil && ctx.Err() == nil {
			h.config.Logger.Error("not everything runs as the metadata wants it; it is tried again", "error", err)
			again = time.After(lookAgain)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends all captures, stores what was received, closes the partitions, and leaves word that the stop was clean.
func (h *Host) Close(ctx context.Context) error {
	h.cancel()
	h.tasks.Wait()
	var all []*replica
	for _, r := range h.replicas {
		all = append(all, r)
	}
	err := atOnce(all, func(r *replica) error { return h.close(ctx, r) })
	err = errors.Join(err, h.config.Marks.Flush())
	h.replicas = map[uuid.UUID]*replica{}
	if err != nil {
		return fmt.Errorf("closing partitions: %w", err)
	}
	if h.config.Unheard != nil {
		if why := h.config.Unheard(); why != nil {
			h.config.Logger.Error("messages may be missing; the next start says so with gaps", "error", why)
			return nil
		}
	}
	epoch := h.ownEpoch(h.config.Metadata.State())
	if epoch == 0 {
		epoch = h.clean // the life that this one was to follow ended cleanly, and still has
	}
	if epoch == 0 {
		return nil
	}
	return h.config.Folder.leaveCleanToken(epoch)
}
