package cursor

import (
	"context"
	"errors"
	"time"

	"github.com/trestlehq/trestle/server/internal/partition"
)

const (
	// forgetAtOnce is how many cursors are forgotten with one append.
	forgetAtOnce = 1000
	// forgetAgain is how long it takes until forgetting is tried again, also because this broker does not lead.
	forgetAgain = 5 * time.Second
)

// run forgets the cursors of deleted streams whenever the metadata has changed.
func (k *Keeper) run(ctx context.Context) {
	for {
		changed := k.config.Metadata.Changed()
		var again <-chan time.Time
		if err := k.forget(ctx); err != nil && ctx.Err() == nil {
			if !errors.Is(err, partition.ErrClosed) {
				k.config.Logger.Debug("cursors of deleted streams are forgotten later", "error", err)
			}
			again = time.After(forgetAgain)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// forget stores tombstones for the cursors of streams that are gone.
func (k *Keeper) forget(ctx context.Context) error {
	for {
		var lost []Key
		p, err := k.known(ctx, func() error {
			lost = k.lost(forgetAtOnce)
			return nil
		})
		if err != nil || len(lost) == 0 {
			return err
		}
		var records []byte
		for _, key := range lost {
			records = appendTombstone(records, key)
		}
		if _, err := publish(ctx, p, records, len(lost)); err != nil {
			return err
		}
	}
}
