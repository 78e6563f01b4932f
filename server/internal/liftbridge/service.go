// Package liftbridge serves proto.API, the wire API of Liftbridge, over the calls that the native services use: clients of
// Liftbridge work against a broker as they are. Here, and nowhere else, inclusive offsets become exclusive ends, and errors
// become the codes that those clients wait for.
package liftbridge

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Name of the service, also for health checks.
const Name = "proto.API"

// Streams is what the service needs of the streams of a broker.
type Streams interface {
	Create(ctx context.Context, config *trestlev1.StreamConfig, acceptExisting bool) (s *trestlev1.StreamState, existed bool, err error)
	Update(ctx context.Context, config *trestlev1.StreamConfig, revision uint64) (*trestlev1.StreamState, error)
	Delete(ctx context.Context, name string) error
	SetMode(ctx context.Context, name string, mode trestlev1.Mode, partitions []int32) (*trestlev1.StreamState, error)
	Get(name string) (metadata.Stream, error)
	// PartitionOf returns a partition to be read.
	PartitionOf(name string, id int32) (*partition.Partition, error)
	// Publishable returns a partition to be appended to, and the subjects that its records may have.
	Publishable(name string, id int32) (p *partition.Partition, subjects []string, err error)
}

// Cursors stores named positions of readers.
type Cursors interface {
	Set(ctx context.Context, key cursor.Key, at cursor.Position) (cursor.Position, error)
	Get(ctx context.Context, key cursor.Key) (at cursor.Position, ok bool, err error)
}

// Metadata is the state of the cluster, and the way to change it.
type Metadata interface {
	State() *metadata.State
	// Changed returns a channel that is closed when there is a newer state than those that were seen before the call.
	Changed() <-chan struct{}
	Propose(ctx context.Context, cmd *clusterv1.Command) (*clusterv1.Answer, error)
}

// Subjects publishes on NATS.
type Subjects interface {
	Publish(subject string, payload []byte) error
	// Request publishes the payload that make returns for an inbox, and returns the first message that arrives there.
	Request(ctx context.Context, subject string, payload func(inbox string) ([]byte, error)) ([]byte, error)
}

// Config of a Service.
type Config struct {
	// Broker is this broker's name.
	Broker   string
	Streams  Streams
	Cursors  Cursors
	Metadata Metadata
	Subjects Subjects
	// Encrypts says that the values of streams can be encrypted: there is a key.
	Encrypts bool
	// Activity says that events are recorded in the stream __activity, which is made then.
	Activity bool
	Now      func() time.Time
	Limits   Limits
	Logger   *slog.Logger
}

// Limits of what clients may have a broker hold at one time. A field that is 0 has its default.
type Limits struct {
	// Subscriptions is the number of Subscribe calls. Default: 10,000.
	Subscriptions int
	// PublishStreams is the number of PublishAsync calls; each client holds one for each address it knows. Default: 10,000.
	PublishStreams int
	// WindowBytes is how much of one PublishAsync may be unanswered; beyond it the call is not read. Default: 4 MiB.
	WindowBytes int
	// InFlightBytes is the same for all publishes together. Default: 256 MiB.
	InFlightBytes int
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.Subscriptions, 10_000}, {&l.PublishStreams, 10_000}, {&l.WindowBytes, 4 << 20}, {&l.InFlightBytes, 256 << 20},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return l
}

// Service serves proto.API. It is safe for concurrent use.
type Service struct {
	liftbridgepb.UnimplementedAPIServer
	config   Config
	running  context.Context // ends with End
	ending   context.CancelCauseFunc
	tasks    sync.WaitGroup // watch, recordActivity, and whoever receives for a PublishAsync
	inFlight *room
	groups   groups

	mu             sync.Mutex
	subscriptions  map[*subscription]struct{}   // guarded by mu
	members        map[membership]*subscription // guarded by mu
	publishStreams int                          // guarded by mu
	idle           map[uuid.UUID]idleness       // by partition; guarded by mu
	silent         map[seenMember]bool          // members that were taken out for that; guarded by mu
}

// errStopping ends what goes on when the broker stops.
var errStopping = errors.New("the broker is stopping")

// New returns a service that does what it does by itself until End.
func New(config Config) *Service {
	config.Limits = config.Limits.withDefaults()
	s := &Service{
		config: config, inFlight: newRoom(config.Limits.InFlightBytes),
		subscriptions: map[*subscription]struct{}{}, members: map[membership]*subscription{},
		groups: groups{known: map[string]*group{}, leaving: map[seenMember]*liftbridgepb.FetchConsumerGroupAssignmentsResponse{}}, idle: map[uuid.UUID]idleness{}, silent: map[seenMember]bool{},
	}
	s.running, s.ending = context.WithCancelCause(context.Background())
	s.tasks.Go(s.watch)
	if config.Activity {
		s.tasks.Go(s.recordActivity)
	}
	return s
}

// Register adds the service to a gRPC server whose codec is that of package codec.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(tolerant(liftbridgepb.API_ServiceDesc), s)
}

// Name of the service.
func (s *Service) Name() string { return Name }

// End ends the calls that by themselves do not: with Unavailable, upon which clients come back, here or elsewhere. What was
// published before is answered.
func (s *Service) End() { s.ending(errStopping) }

// Wait returns when all that the service does by itself is over: after End, once the gRPC server has stopped.
func (s *Service) Wait() { s.tasks.Wait() }
