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

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// maxRequestBytes is the largest request that is read. It is above the largest that is accepted, so that one that is
// somewhat too large is told by how much.
const maxRequestBytes = 2 * host.MaxMessageBytes

// Streams is what the services need of the streams of a broker.
type Streams interface {
	Create(ctx context.Context, config *trestlev1.StreamConfig, acceptExisting bool) (s *trestlev1.StreamState, existed bool, err error)
	Update(ctx context.Context, config *trestlev1.StreamConfig, revision uint64) (*trestlev1.StreamState, error)
	Delete(ctx context.Context, name string) error
	SetMode(ctx context.Context, name string, mode trestlev1.Mode, partitions []int32) (*trestlev1.StreamState, error)
	Describe(name string) (*trestlev1.StreamState, error)
	List(glob, after string, limit int) ([]*trestlev1.StreamState, error)
	// PartitionOf returns a partition to be read.
	PartitionOf(name string, id int32) (*partition.Partition, error)
	// Publishable returns a partition to be appended to, and the subjects that its records may have.
	Publishable(name string, id int32) (p *partition.Partition, subjects []string, err error)
}

// Config of a Server.
type Config struct {
	Streams Streams
	Logger  *slog.Logger
}

// Server is the gRPC server of a broker.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	ending context.CancelCauseFunc // ends the streams of readers
	done   chan error
}

// errStopping ends the streams of readers when the broker stops.
var errStopping = errors.New("the broker is stopping")

// Serve answers on the listener until Shutdown.
func Serve(listener net.Listener, config Config) *Server {
	running, ending := context.WithCancelCause(context.Background())
	s := &Server{health: health.NewServer(), ending: ending, done: make(chan error, 1)}
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(codec.New()),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxConcurrentStreams(1000),
		grpc.ChainUnaryInterceptor(refuseUnknownFields),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	trestlev1.RegisterStreamServiceServer(s.grpc, &streamService{streams: config.Streams})
	registerLogService(s.grpc, &logService{streams: config.Streams, running: running})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	for _, name := range []string{"", trestlev1.StreamService_ServiceDesc.ServiceName, trestlev1.LogService_ServiceDesc.ServiceName} {
		s.health.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	reflection.Register(s.grpc)
	go func() { s.done <- s.grpc.Serve(listener) }()
	return s
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
	return <-s.done
}
