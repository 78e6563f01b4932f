package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// benchServer says which server a bench measures: one that runs, or one that is started for it.
type benchServer struct {
	address *addressFlag // nil: always one of its own
	natsURL string
	dir     string // where data folders are made; empty: where the system has temporary files
}

// addTo adds the flags; running says whether a server that runs can be measured.
func (b *benchServer) addTo(inv *invocation, cmd *cobra.Command, running bool) {
	flags := cmd.Flags()
	if running {
		b.address = &addressFlag{inv: inv}
		flags.Var(b.address, "addr", "measure the server that runs at `HOST:PORT,...` (env "+addressEnv+", default: start one)")
		b.address.tls.addTo(cmd)
		flags.StringVar(&b.natsURL, "nats", "", "publish to the NATS at `URL` (default: that of the server)")
	}
	flags.StringVar(&b.dir, "dir", "", "make the data folder of a server that is started in `DIR` (default: a temporary folder)")
}

// bench is a bench under way: the server, and who puts load on it. Who opens one closes it.
type bench struct {
	trestle loadtest.Trestle
	crew    *loadtest.Crew
	// told says which server is measured.
	told string

	folder  string       // of all that was started; empty: nothing was
	child   *childServer // nil: the server ran before
	kill    func()       // the child
	workers []*loadtest.Worker
	// disconnect closes connections to the servers; nil: there are none.
	disconnect func()
}

// open connects to the server that is asked for, or starts one.
func (b *benchServer) open(ctx context.Context, inv *invocation, cmd *cobra.Command) (opened *bench, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to start it again: %w", err)
	}
	opened = &bench{crew: &loadtest.Crew{Program: program, Args: []string{"bench", "worker"}}}
	opened.trestle.Crew = opened.crew
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
			opened = nil
		}
	}()
	if b.address != nil {
		if _, set := inv.lookupEnv(addressEnv); set || b.address.text != "" {
			return opened, opened.connect(ctx, b, cmd)
		}
	}
	if err := opened.makeFolder(b.dir); err != nil {
		return opened, err
	}
	return opened, opened.launch(ctx, b, inv)
}

// connect uses a server that runs.
func (o *bench) connect(ctx context.Context, b *benchServer, cmd *cobra.Command) error {
	c, err := b.address.connect(ctx, cmd)
	if err != nil {
		return err
	}
	o.trestle.Client = c
	o.disconnect = func() { closeQuietly(c) }
	o.crew.Args = b.address.tls.workerArguments()
	o.trestle.Server = loadtest.Server{Addr: b.address.text, NATS: b.natsURL}
	if b.natsURL == "" {
		asking, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		info, err := c.Server(asking)
		if err != nil {
			return err
		}
		o.trestle.Server.NATS = info.NATSURL
	}
	o.told = fmt.Sprintf("the server at %s, NATS at %s; what it uses of its machine is not known here", b.address.text, o.trestle.Server.NATS)
	return nil
}

// launch starts a server with ports and a data folder of its own.
func (o *bench) launch(ctx context.Context, b *benchServer, inv *invocation) error {
	data, err := os.MkdirTemp(o.folder, "trestle-")
	if err != nil {
		return fmt.Errorf("make a data folder: %w", err)
	}
	// It is stopped by close, in order, also when the bench is interrupted: what is left to clean up needs it.
	living, kill := context.WithCancel(context.WithoutCancel(ctx))
	o.kill = kill
	untilReady := context.AfterFunc(ctx, kill)
	child, err := startChild(living, o.crew.Program, []string{
		"server", "--data-dir", data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0",
	}, withoutSettings(inv.env))
	untilReady()
	if err != nil {
		return err
	}
	o.child = child
	o.trestle.Server = loadtest.Server{
		Addr: child.ready["grpc"], NATS: child.ready["nats"], HTTP: child.ready["http"], PID: child.process.Pid,
	}
	if b.natsURL != "" {
		o.trestle.Server.NATS = b.natsURL
	}
	connecting, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if o.trestle.Client, err = client.Connect(connecting, child.ready["grpc"]); err != nil {
		return err
	}
	o.disconnect = func() { closeQuietly(o.trestle.Client) }
	o.told = fmt.Sprintf("a server of its own: gRPC on %s, %s, data in %s", child.ready["grpc"], child.ready["nats"], data)
	return nil
}

func (o *bench) makeFolder(dir string) (err error) {
	if o.folder, err = os.MkdirTemp(dir, "trestle-bench-"); err != nil {
		return fmt.Errorf("make a folder for what is measured: %w", err)
	}
	return nil
}

// stopTime bounds the orderly end of a server.
const stopTime = 10 * time.Second

// close ends all that was started and removes its data.
func (o *bench) close() (err error) {
	if o.disconnect != nil {
		o.disconnect()
	}
	for _, w := range o.workers {
		err = errors.Join(err, w.Close())
	}
	if o.child != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		err = errors.Join(err, o.child.stop(ctx))
	}
	if o.kill != nil {
		o.kill()
	}
	if o.folder != "" {
		if cause := os.RemoveAll(o.folder); cause != nil {
			err = errors.Join(err, fmt.Errorf("remove the folder of what was measured: %w", cause))
		}
	}
	return err
}
