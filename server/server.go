// Package server is a broker: it wires the rooms below it together and owns no rules.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/liftbridge"
	"github.com/trestlehq/trestle/server/internal/metrics"
	"github.com/trestlehq/trestle/server/internal/partition"
	"github.com/trestlehq/trestle/server/internal/rpc"
	"github.com/trestlehq/trestle/server/internal/web"
)

// Server is a running broker.
type Server struct {
	ready Ready
	stops []func(context.Context) error // what was started, in that order; each is stopped after those behind it

	stopping sync.Once
	stopErr  error

	metrics  *metrics.Metrics
	nats     *embeddedNATS // nil: another one is used
	encrypts bool          // there is a key for the values of streams
	activity bool          // events are recorded for clients of Liftbridge

	mu     sync.Mutex
	err    error // why it ended by itself; guarded by mu
	phase  error // why it is not ready, whatever its parts say; guarded by mu
	checks checks
	done   chan struct{}
}

// Ready says where a broker can be reached and who it is. Addresses are HOST:PORT.
type Ready struct {
	GRPC, HTTP, Peer string
	NATS             string // URL
	ID, DataDir      string
}

// Start starts a broker and returns when it captures and serves.
func Start(ctx context.Context, config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s := &Server{done: make(chan struct{}), phase: errStarting}
	if err := s.start(ctx, &config); err != nil {
		return nil, errors.Join(err, s.Shutdown(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Server) onStop(stop func(context.Context) error) { s.stops = append(s.stops, stop) }

func (s *Server) start(ctx context.Context, config *Config) error {
	folder, err := host.OpenFolder(vfs.OS(), config.DataDir, config.ID, hostID(), config.Cluster)
	if err != nil {
		return err
	}
	s.onStop(func(context.Context) error { return folder.Close() })
	if s.ready.DataDir, err = filepath.Abs(config.DataDir); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	s.ready.ID = folder.Broker

	listeners, err := s.listen(ctx, config)
	if err != nil {
		return err
	}
	if err := listeners.encrypt(config); err != nil {
		return err
	}
	s.metrics = metrics.New(config.Version, s.ready.ID, config.Cluster)
	webServer := web.Serve(listeners.take(httpPort), web.Config{
		Live: s.Err, Ready: s.unready, Metrics: s.metrics.Handler(), NeedsCertificate: config.TLS.CA != "", Logger: config.Logger,
	})
	s.onStop(webServer.Shutdown)
	control, err := openControl(ctx, folder, listeners.take(peerPort), config.Logger, s.fail)
	if err != nil {
		return err
	}
	s.onStop(control.close)
	source, refuse, err := s.connectNATS(ctx, config)
	if err != nil {
		return err
	}
	streams, err := s.openHost(ctx, folder, control, source, config)
	if err != nil {
		return err
	}
	s.onStop(refuse)
	if err := s.tellMissed(streams); err != nil {
		return err
	}
	s.serveGRPC(listeners.take(grpcPort), streams, source, control, config)
	s.mu.Lock()
	s.checks = checks{source: source, streams: streams, control: control}
	s.mu.Unlock()
	s.enter(nil)
	return s.metrics.Watch(metrics.Sources{
		Host: streams, Capture: source, Leading: control.node.Leading, Applied: control.node.Applied,
		Unready: s.unready, FileCache: openFiles(),
	})
}

// serveGRPC answers clients, with what it needs for that alone.
func (s *Server) serveGRPC(listener net.Listener, streams *host.Host, source *capture.Source, control *control, config *Config) {
	cursors := cursor.Open(cursor.Config{
		Metadata:  control,
		Partition: func() (*partition.Partition, error) { return streams.PartitionOf(cursor.StreamName, 0) },
		Logger:    config.Logger.With("component", "cursors"),
	})
	s.onStop(func(context.Context) error { cursors.Close(); return nil })
	lift := liftbridge.New(liftbridge.Config{
		Broker: s.ready.ID, Streams: streams, Cursors: cursors, Metadata: control, Subjects: subjects{source}, Now: time.Now,
		Encrypts: s.encrypts, Activity: s.activity,
		Logger: config.Logger.With("component", "liftbridge"),
	})
	s.onStop(func(context.Context) error { lift.Wait(); return nil })
	answering := rpc.Serve(listener, rpc.Config{
		Beside:  []rpc.Service{lift},
		Streams: streams, Producers: streams, Cursors: cursors, Metadata: control, Logger: config.Logger,
		Identity: rpc.Identity{
			Version: config.Version, ID: s.ready.ID, Cluster: config.Cluster,
			GRPCAddress: s.ready.GRPC, HTTPAddress: s.ready.HTTP, NATSURL: s.ready.NATS,
		},
	})
	s.onStop(answering.Shutdown)
	s.onStop(func(context.Context) error { lift.End(); return nil })
}

// openHost opens the logs and lets the streams run.
func (s *Server) openHost(ctx context.Context, folder *host.Folder, control *control, source *capture.Source, config *Config) (*host.Host, error) {
	key, err := liftbridge.EncryptionKey()
	if err != nil {
		return nil, err
	}
	s.encrypts = key != nil
	if s.activity, err = liftbridge.ActivityEnabled(); err != nil {
		return nil, err
	}
	files := commitlog.NewFiles(s.metrics.Measured(vfs.OS()), openFiles())
	s.onStop(func(context.Context) error { return files.Close() })
	marks, err := folder.OpenMarks()
	if err != nil {
		return nil, err
	}
	s.onStop(func(context.Context) error { return marks.Close() })
	streams, err := host.Open(ctx, host.Config{
		Folder: folder, Files: files, Marks: marks, Metadata: control, Unheard: s.unheard,
		Subscribe: func(ctx context.Context, target capture.Target, sink capture.Sink) (host.Capture, error) {
			s, err := source.Subscribe(ctx, target, sink)
			if err != nil { // and no interface that holds nothing
				return nil, err
			}
			return s, nil
		},
		Publisher:          source,
		PublishesWithoutUs: len(config.NATSURLs) > 0, EncryptionKey: key,
		RaftID: control.node.ID(), ClientAddress: config.advertised(s.ready.GRPC), PeerAddress: s.ready.Peer,
		Now: time.Now, Meter: s.metrics, OnFault: s.fail, Logger: config.Logger,
	})
	if err != nil {
		return nil, err
	}
	s.onStop(streams.Close)
	return streams, nil
}

// tellMissed sees that messages that somebody published to the embedded NATS before everything was captured are missed with
// a word: it listens earlier.
func (s *Server) tellMissed(streams *host.Host) error {
	if s.nats == nil {
		return nil
	}
	published, err := s.nats.published()
	if err != nil || !published {
		return err
	}
	return streams.Missed(s.nats.since)
}

// unheard says why messages may have been published that no capture has heard; nil: none were.
func (s *Server) unheard() error {
	if s.nats == nil {
		return nil // a NATS that is not ours goes on without us, and each start says so
	}
	return s.nats.unheard()
}

// connectNATS connects to the NATS that the configuration names, or starts one. Refuse makes an embedded one take nothing
// more from publishers, from now on and for good, before the captures are drained.
func (s *Server) connectNATS(ctx context.Context, config *Config) (source *capture.Source, refuse func(context.Context) error, err error) {
	refuse = func(context.Context) error { return nil }
	urls := strings.Join(config.NATSURLs, ",")
	var audience capture.Audience
	if urls == "" {
		nats, err := startNATS(ctx, config.NATSListen, s.ready.ID, config.Logger)
		if err != nil {
			return nil, nil, err
		}
		s.onStop(func(context.Context) error { nats.stop(); return nil })
		s.nats, audience = nats, nats
		urls = "nats://" + nats.address
		refuse = func(ctx context.Context) error {
			ours, err := source.ClientIDs()
			if err != nil {
				return err
			}
			return nats.refuse(ctx, ours)
		}
	}
	s.ready.NATS = capture.WithoutLogin(urls)
	source, err = capture.Connect(ctx, capture.Config{
		URLs: urls, Name: "trestle " + s.ready.ID, Options: config.natsOptions(), MaxMessageBytes: host.MaxMessageBytes,
		DropsReaders: len(config.NATSURLs) > 0, QueuedBytes: int(config.CaptureBytes), Audience: audience, Logger: config.Logger,
	})
	if err != nil {
		return nil, nil, err
	}
	s.onStop(func(context.Context) error { source.Close(); return nil })
	return source, refuse, nil
}

// Ports that a broker listens on, besides that of its embedded NATS.
const (
	grpcPort = iota
	httpPort
	peerPort
	ports
)

// listeners are the open ports of a broker, until somebody serves them.
type listeners [ports]net.Listener

// listen opens all ports at once, so that one that is in use is found before anything else happens.
func (s *Server) listen(ctx context.Context, config *Config) (*listeners, error) {
	l := &listeners{}
	s.onStop(func(context.Context) error { return l.close() })
	for port, asked := range [ports]struct{ flag, address string }{
		grpcPort: {"--listen", config.Listen}, httpPort: {"--http", config.HTTPListen}, peerPort: {"--peer", config.PeerListen},
	} {
		var err error
		if l[port], err = (&net.ListenConfig{}).Listen(ctx, "tcp", asked.address); err != nil {
			return nil, fmt.Errorf("%w; choose another address with %s", err, asked.flag)
		}
	}
	s.ready.GRPC, s.ready.HTTP, s.ready.Peer = l[grpcPort].Addr().String(), l[httpPort].Addr().String(), l[peerPort].Addr().String()
	return l, nil
}

// encrypt lets those ports speak TLS that are to.
func (l *listeners) encrypt(config *Config) error {
	for port, protocol := range map[int]string{grpcPort: "h2", httpPort: "http/1.1"} {
		// Whoever asks whether a broker lives has no certificate; web looks at those of the others.
		with, err := config.TLS.serverConfig(config.Logger, port == httpPort, protocol)
		if err != nil {
			return err
		}
		if with != nil {
			l[port] = tls.NewListener(l[port], with)
		}
	}
	return nil
}

// take hands a listener to whoever serves, and from then on closes, it.
func (l *listeners) take(port int) net.Listener {
	taken := l[port]
	l[port] = nil
	return taken
}

func (l *listeners) close() error {
	var errs []error
	for _, listener := range l {
		if listener != nil {
			errs = append(errs, listener.Close())
		}
	}
	return errors.Join(errs...)
}

// openFiles is how many unused files are kept open: a quarter of what the process may.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(limit.Cur/4, 1<<16))
}

// Ready says where the broker can be reached.
func (s *Server) Ready() Ready { return s.ready }

// Done is closed when the broker has failed and can only be shut down. Err says why.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is why the broker ended by itself; nil while it has not.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// fail ends the broker: a log that cannot be made durable makes it useless, and going on would make it a liar.
func (s *Server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.done)
	}
}

// Shutdown stops the broker: it refuses new requests, stores what was received, and releases everything. What was not
// finished when ctx ends is given up. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopping.Do(func() {
		s.enter(errStopping)
		var errs []error
		for i := len(s.stops) - 1; i >= 0; i-- {
			errs = append(errs, s.stops[i](ctx))
		}
		s.stopErr = errors.Join(errs...)
	})
	return s.stopErr
}
