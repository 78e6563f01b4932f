// Package rpc serves trestle.v1 over gRPC: it validates, converts, calls, and maps errors. It holds no rule of its own.
package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Streams is what the services need of the streams of a broker.
type Streams interface {
	Create(ctx context.Context, config *trestlev1.StreamConfig, acceptExisting bool) (s *trestlev1.StreamState, existed bool, err error)
	Update(ctx context.Context, config *trestlev1.StreamConfig, revision uint64) (*trestlev1.StreamState, error)
	Delete(ctx context.Context, name string) error
	SetMode(ctx context.Context, name string, mode trestlev1.Mode, partitions []int32) (*trestlev1.StreamState, error)
	// Purge takes the records below the place away, for good; no partitions: in all.
	Purge(name string, partitions []int32, to partition.Place) ([]*trestlev1.PurgedPartition, error)
	// Get returns the stream of that name.
	Get(name string) (metadata.Stream, error)
	Describe(name string) (*trestlev1.StreamState, error)
	List(glob, after string, limit int) ([]*trestlev1.StreamState, error)
	// PartitionOf returns a partition to be read.
	PartitionOf(name string, id int32) (*partition.Partition, error)
	// Publishable returns a partition to be appended to, and the subjects that its records may have.
	Publishable(name string, id int32) (p *partition.Partition, subjects []string, err error)
}

// Producers gives out producer ids.
type Producers interface {
	// NewProducer returns one that nobody else gets.
	NewProducer(ctx context.Context) (uint64, error)
}

// Service is one that is served beside those of this package.
type Service interface {
	// Name of the service, for health checks.
	Name() string
	Register(r grpc.ServiceRegistrar)
}

// Config of a Server.
type Config struct {
	Streams   Streams
	Producers Producers
	Cursors   Cursors
	Metadata  Metadata
	Identity  Identity
	Limits    Limits
	// Beside are services that are served on the same port.
	Beside []Service
	Logger *slog.Logger
}

// Server is the gRPC server of a broker.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	log    *logService
	ending context.CancelCauseFunc // ends the streams of readers
	done   chan error
}

// errStopping ends the streams of readers when the broker stops.
var errStopping = errors.New("the broker is stopping")

// Serve answers on the listener until Shutdown.
func Serve(listener net.Listener, config Config) *Server {
	running, ending := context.WithCancelCause(context.Background())
	s := &Server{health: health.NewServer(), ending: ending, done: make(chan error, 1)}
	books := newLedger(config.Limits)
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(codec.New()),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxConcurrentStreams(1000),
		// Fixed windows: gRPC measures the line otherwise, with a ping for every little that comes, which a publish waits behind.
		grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(4<<20),
		// A system call is for more than the 32 KiB of the default; a connection that is silent keeps neither buffer.
		grpc.ReadBufferSize(64<<10), grpc.WriteBufferSize(64<<10),
		grpc.InTapHandle(books.tapPublish),
		grpc.ChainUnaryInterceptor(refuseUnknownFields),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	s.register(running, &config, books)
	reflection.Register(s.grpc)
	listener = limitConnections(listener, books.limits.Connections, config.Logger)
	go func() { s.done <- s.grpc.Serve(listener) }()
	return s
}

// register adds the services, which are ready: a broker listens for calls once it captures and serves.
func (s *Server) register(running context.Context, config *Config, books *ledger) {
	cursors := &cursorService{streams: config.Streams, cursors: config.Cursors}
	s.log = &logService{
		streams: config.Streams, producers: config.Producers, cursors: cursors, ledger: books, lender: newLender(),
		running: running, waitedFor: 20 * time.Microsecond,
	}
	registerLogService(s.grpc, s.log)
	s.grpc.RegisterService(readable(trestlev1.StreamService_ServiceDesc), &streamService{streams: config.Streams})
	s.grpc.RegisterService(readable(trestlev1.CursorService_ServiceDesc), cursors)
	s.grpc.RegisterService(readable(trestlev1.ServerService_ServiceDesc), &serverService{
		identity: config.Identity, metadata: config.Metadata, ledger: books, running: running,
	})
	for _, one := range config.Beside {
		one.Register(s.grpc)
		s.health.SetServingStatus(one.Name(), healthpb.HealthCheckResponse_SERVING)
	}
	healthpb.RegisterHealthServer(s.grpc, s.health)
	s.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	for _, service := range []grpc.ServiceDesc{
		trestlev1.LogService_ServiceDesc, trestlev1.StreamService_ServiceDesc, trestlev1.CursorService_ServiceDesc, trestlev1.ServerService_ServiceDesc,
	} {
		s.health.SetServingStatus(service.ServiceName, healthpb.HealthCheckResponse_SERVING)
	}
}

// patience is how long calls that are under way may take to end when the broker stops. A reader who does not read never
// does.
const patience = time.Second

// Shutdown refuses new calls, ends the streams of readers, and waits for publishes that are under way, but not for long.
func (s *Server) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.health.Shutdown()
	s.ending(errStopping)
	graceful := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(graceful)
	}()
	select {
	case <-graceful:
	case <-ctx.Done():
		s.grpc.Stop()
		<-graceful
	}
	s.log.receiving.Wait()
	if err := <-s.done; !errors.Is(err, grpc.ErrServerStopped) { // stopped before it served
		return err
	}
	return nil
}
