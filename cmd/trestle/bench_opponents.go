package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// opponents are the servers that Trestle is compared with.
type opponents struct {
	core              loadtest.Core
	plain, syncAlways *loadtest.JetStream  // as it comes, and with every message fsynced; nil: not asked for
	liftbridge        *loadtest.Liftbridge // nil: not asked for
	folders           []string
}

func (r *opponents) close() {
	for _, j := range []*loadtest.JetStream{r.plain, r.syncAlways} {
		if j != nil {
			j.Close()
		}
	}
	if r.liftbridge != nil {
		r.liftbridge.Close()
	}
}

// startRivals starts the servers. The bench ends them.
func (o *bench) startRivals(ctx context.Context, v *versus) (r *opponents, err error) {
	r = &opponents{}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	switch v.rival {
	case rivalCore:
		r.core.Crew = o.crew
		r.core.Server, err = o.startNATS(ctx, "", false)
	case rivalJetStream:
		err = o.startJetStreams(ctx, r)
	default:
		err = o.startLiftbridge(ctx, v.program, r)
	}
	return r, err
}

func (o *bench) startJetStreams(ctx context.Context, r *opponents) error {
	for _, j := range []struct {
		folder string
		always bool
		at     **loadtest.JetStream
	}{{"jetstream", false, &r.plain}, {"jetstream-sync-always", true, &r.syncAlways}} {
		folder := filepath.Join(o.folder, j.folder)
		if err := os.Mkdir(folder, 0o700); err != nil {
			return fmt.Errorf("make a data folder: %w", err)
		}
		server, err := o.startNATS(ctx, folder, j.always)
		if err != nil {
			return err
		}
		if *j.at, err = loadtest.ConnectJetStream(server, o.crew); err != nil {
			return err
		}
		r.folders = append(r.folders, folder)
	}
	return nil
}

func (o *bench) startNATS(ctx context.Context, folder string, syncAlways bool) (loadtest.Server, error) {
	// Like the server of ours it ends in order, also when the bench is interrupted.
	w, server, err := o.crew.StartNATS(context.WithoutCancel(ctx), folder, syncAlways)
	if err != nil {
		return server, fmt.Errorf("start a NATS server: %w", err)
	}
	o.workers = append(o.workers, w)
	return server, nil
}

func (o *bench) startLiftbridge(ctx context.Context, program string, r *opponents) error {
	folder := filepath.Join(o.folder, "liftbridge")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("make a data folder: %w", err)
	}
	w, server, err := o.crew.StartLiftbridge(context.WithoutCancel(ctx), program, folder)
	if err != nil {
		return err
	}
	o.workers = append(o.workers, w)
	r.folders = append(r.folders, folder)
	r.liftbridge, err = loadtest.ConnectLiftbridge(server, o.crew)
	return err
}
