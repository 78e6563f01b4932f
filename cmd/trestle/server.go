package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trestlehq/trestle/server"
)

// shutdownTime is how long a server may take to stop. The contract says 5 s; the rest is for what is not under its
// control, the end of the process included.
const shutdownTime = 4500 * time.Millisecond

func newServerCommand(inv *invocation) *cobra.Command {
	cfg := server.DefaultConfig()
	cmd := &cobra.Command{
		Use:   "server [flags]",
		Short: "Run a server",
		Long: `Run a server: record what is published on NATS and serve it over gRPC.

Without --nats it brings a NATS server of its own, on --nats-listen. When it captures
and serves it prints one line on stdout,

  ready grpc=H:P http=H:P peer=H:P nats=nats://H:P id=ID data=DIR

and logs on stderr. Port 0 takes a free port. SIGTERM and SIGINT stop it within 5 s with
nothing lost; a second signal ends it at once.

Every flag can be set by the environment and in a YAML file that --config names:
--nats-listen is TRESTLE_NATS_LISTEN, and nats.listen in the file. A flag goes before the
environment, the environment before the file, the file before the default. See what comes
out with trestle config print.

Beyond loopback gRPC and HTTP need TLS, --tls-cert and --tls-key; with --tls-ca clients have
to show a certificate, too. Ports without TLS listen there with --insecure only.`,
		Example: `  trestle server --data-dir /var/lib/trestle
  trestle server --nats nats://10.0.0.5:4222,nats://10.0.0.6:4222
  trestle server --listen 127.0.0.1:0 --http 127.0.0.1:0 --peer 127.0.0.1:0 --nats-listen 127.0.0.1:0
  trestle server --config /etc/trestle.yaml
  TRESTLE_DATA_DIR=/data trestle server`,
		Args: noArguments,
	}
	addServerFlags(cmd.Flags(), &cfg)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := settleServer(inv, cmd, &cfg); err != nil {
			return err
		}
		if err := checkDataDir(cfg.DataDir); err != nil {
			return err
		}
		cfg.Version = programVersion()
		cfg.Logger = slog.New(slog.NewTextHandler(inv.stderr, nil))
		return inv.serve(cmd.Context(), cfg)
	}
	return cmd
}

// checkDataDir refuses a data folder where a file stands in the way. One that is not there is made later.
func checkDataDir(dir string) error {
	for path := dir; ; path = filepath.Dir(path) {
		is, err := os.Stat(path)
		switch {
		case err == nil && !is.IsDir():
			return &misuse{
				message: fmt.Sprintf("data folder %s: %s is a file", dir, path),
				remedy:  "name a folder with --data-dir; it is made if it is not there",
				names:   map[string]string{"flag": "--data-dir", "value": dir},
			}
		case err == nil || path == filepath.Dir(path):
			return nil
		}
	}
}

func addServerFlags(flags *pflag.FlagSet, cfg *server.Config) {
	flags.SortFlags = false
	flags.String(configFlag, "", "read settings from the YAML `FILE`")
	flags.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "keep everything in `DIR`; it is made if it is not there")
	flags.StringVar(&cfg.ID, "id", cfg.ID, "`NAME` of this broker in its cluster (default: that of the data folder, else of the host)")
	flags.StringVar(&cfg.Cluster, "cluster", cfg.Cluster, "`NAME` of the cluster")
	flags.StringVar(&cfg.Listen, "listen", cfg.Listen, "serve gRPC on `HOST:PORT`")
	flags.StringVar(&cfg.HTTPListen, "http", cfg.HTTPListen, "serve /metrics, /livez and /readyz on `HOST:PORT`")
	flags.StringVar(&cfg.PeerListen, "peer", cfg.PeerListen, "talk to other brokers on `HOST:PORT` (nobody yet: one broker in this version)")
	flags.StringVar(&cfg.Advertise, "advertise", cfg.Advertise, "tell clients to connect to `HOST:PORT` (default: where gRPC listens)")
	flags.StringVar(&cfg.NATSListen, "nats-listen", cfg.NATSListen, "run the NATS server that is built in on `HOST:PORT`")
	flags.StringSliceVar(&cfg.NATSURLs, "nats", cfg.NATSURLs, "use the NATS at `URL,...` instead of the one that is built in")
	flags.StringVar(&cfg.NATSCreds, "nats-creds", cfg.NATSCreds, "sign in at --nats with the credentials in `FILE`")
	flags.StringVar(&cfg.NATSTLS.CA, "nats-tls-ca", cfg.NATSTLS.CA, "believe certificates of --nats that the CA in `FILE` has signed")
	flags.StringVar(&cfg.NATSTLS.Cert, "nats-tls-cert", cfg.NATSTLS.Cert, "show --nats the certificate in `FILE`")
	flags.StringVar(&cfg.NATSTLS.Key, "nats-tls-key", cfg.NATSTLS.Key, "key of --nats-tls-cert, in `FILE`")
	flags.Var((*sizeFlag)(&cfg.CaptureBytes), "capture-bytes", "let `SIZE` of what NATS brought wait for the disk, in memory")
	flags.Lookup("capture-bytes").DefValue = "256MiB"
	flags.StringVar(&cfg.TLS.Cert, "tls-cert", cfg.TLS.Cert, "serve gRPC and HTTP over TLS with the certificate in `FILE`")
	flags.StringVar(&cfg.TLS.Key, "tls-key", cfg.TLS.Key, "key of --tls-cert, in `FILE`")
	flags.StringVar(&cfg.TLS.CA, "tls-ca", cfg.TLS.CA, "serve those only who show a certificate that the CA in `FILE` has signed")
	flags.BoolVar(&cfg.Insecure, "insecure", cfg.Insecure, "allow to listen beyond loopback in the clear")
	addUnbuiltFlags(flags)
}

// serve runs a server until it is told to stop, by a signal or by ctx, or ends by itself.
func (inv *invocation) serve(ctx context.Context, cfg server.Config) error {
	defer reserveHeap()()
	raw := make(chan os.Signal, 2)
	signal.Notify(raw, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(raw)
	var filter sync.WaitGroup
	done := make(chan struct{})
	signals := make(chan os.Signal, 2)
	filter.Go(func() { passSignals(signals, raw, done) })
	defer filter.Wait()
	defer close(done)

	srv, err := startServer(ctx, cfg, signals)
	if srv == nil || err != nil {
		return err
	}
	// Not by print: an output that nobody reads is no quiet end for a server.
	if _, err := io.WriteString(inv.stdout, readyLine(srv.Ready())); err != nil {
		return errors.Join(fmt.Errorf("print the ready line: %w", err), shutDown(srv, signals))
	}
	select {
	case <-signals:
	case <-ctx.Done():
	case <-srv.Done():
		// Its log is whole up to the failure; what holds files and ports is released.
		return errors.Join(fmt.Errorf("the server ended by itself: %w", srv.Err()), shutDown(srv, signals))
	}
	return shutDown(srv, signals)
}

// startServer starts a server. It is nil when it was told to stop before it was up.
func startServer(ctx context.Context, cfg server.Config, signals <-chan os.Signal) (*server.Server, error) {
	starting, abandon := context.WithCancel(ctx)
	defer abandon()
	type outcome struct {
		srv *server.Server
		err error
	}
	started := make(chan outcome, 1)
	go func() {
		srv, err := server.Start(starting, cfg)
		started <- outcome{srv, err}
	}()
	for told := false; ; {
		select {
		case <-signals:
			if told {
				return nil, errSecondSignal
			}
			told = true
			abandon()
		case o := <-started:
			switch {
			case starting.Err() == nil:
				return o.srv, o.err
			case o.err != nil:
				// It gave up because it was told to.
				return nil, nil
			default:
				return nil, shutDown(o.srv, signals)
			}
		}
	}
}

// secondSignalAfter is how long after the first signal another one counts: whoever stops a process and its group, as
// timeout(1) does, sends two at once and means one.
const secondSignalAfter = 500 * time.Millisecond

// passSignals passes on the first signal, and those that come long enough after it, until done is closed.
func passSignals(to chan<- os.Signal, raw <-chan os.Signal, done <-chan struct{}) {
	var first time.Time
	for {
		select {
		case <-done:
			return
		case s := <-raw:
			if !first.IsZero() && time.Since(first) < secondSignalAfter {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			select {
			case to <- s:
			default: // two are told already
			}
		}
	}
}

// errSecondSignal ends the process while a goroutine is still busy stopping: whoever signals twice wants just that.
var errSecondSignal = errors.New("ended at once by a second signal; what was acked is on disk")

// shutDown stops srv, but does not wait for it after another signal.
func shutDown(srv *server.Server, signals <-chan os.Signal) error {
	// The caller's context may be what ended: the shutdown has its own time.
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("shut down: %w", err)
		}
		return nil
	case <-signals:
		return errSecondSignal
	}
}

func readyLine(r server.Ready) string {
	return fmt.Sprintf("ready grpc=%s http=%s peer=%s nats=%s id=%s data=%s\n", r.GRPC, r.HTTP, r.Peer, r.NATS, r.ID, r.DataDir)
}
