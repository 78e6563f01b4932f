package liftbridge_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	"github.com/trestlehq/trestle/proto/codec"
	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	"github.com/trestlehq/trestle/server/internal/capture"
	"github.com/trestlehq/trestle/server/internal/cursor"
	"github.com/trestlehq/trestle/server/internal/host"
	"github.com/trestlehq/trestle/server/internal/liftbridge"
	"github.com/trestlehq/trestle/server/internal/partition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take that a test waits for, on a machine that has no time for it.
const patience = time.Minute

// kit is a broker that serves proto.API alone, and a client of generated code.
type kit struct {
	liftbridgepb.APIClient
	service *liftbridge.Service
	config  liftbridge.Config
	streams *host.Host
	conn    *grpc.ClientConn
	nats    *nats.Conn
	clock   *clock
}

// clock is the service's; groups count in it.
type clock struct {
	mu     sync.Mutex
	ahead  time.Duration // guarded by mu
	frozen time.Time     // zero: it runs; guarded by mu
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.frozen.IsZero() {
		return c.frozen.Add(c.ahead)
	}
	return time.Now().Add(c.ahead)
}

// freeze makes the clock go on by nothing but advance.
func (c *clock) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = time.Now()
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// control is metadata that is durable the moment it is proposed.
type control struct {
	*metadata.Machine
	mu    sync.Mutex
	index uint64 // guarded by mu
}

func (c *control) Propose(ctx context.Context, cmd *clusterv1.Command) (*clusterv1.Answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", host.ErrNoMetadataLeader, err)
	}
	encoded, err := metadata.EncodeCommand(cmd)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = max(c.index, c.State().Index()) + 1
	result, err := metadata.DecodeResult(c.Apply(c.index, encoded))
	if err != nil {
		return nil, err
	}
	return result.Answer, result.Err()
}

// subjects asks over a plain connection.
type subjects struct{ conn *nats.Conn }

func (s subjects) Publish(subject string, payload []byte) error {
	return s.conn.Publish(subject, payload)
}

func (s subjects) Request(ctx context.Context, subject string, payload func(string) ([]byte, error)) ([]byte, error) {
	sub, err := s.conn.SubscribeSync("answers." + nats.NewInbox())
	if err != nil {
		return nil, err
	}
	message, err := payload(sub.Subject)
	if err == nil {
		err = s.conn.Publish(subject, message)
	}
	if err != nil {
		return nil, errors.Join(err, sub.Unsubscribe())
	}
	answer, err := sub.NextMsgWithContext(ctx)
	if err = errors.Join(err, sub.Unsubscribe()); err != nil {
		return nil, err
	}
	return answer.Data, nil
}

func start(t testing.TB, changes ...func(*liftbridge.Config)) *kit {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	k := &kit{clock: &clock{}}
	source := k.startNATS(t, quiet)
	meta := &control{Machine: metadata.NewMachine()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	k.startHost(t, source, meta, listener.Addr().String(), quiet)
	cursors := cursor.Open(cursor.Config{Metadata: meta, Logger: quiet, Partition: func() (*partition.Partition, error) {
		return k.streams.PartitionOf(cursor.StreamName, 0)
	}})
	t.Cleanup(cursors.Close)
	k.config = liftbridge.Config{
		Broker: "b", Streams: k.streams, Cursors: cursors, Metadata: meta, Subjects: subjects{k.nats}, Now: k.clock.now, Logger: quiet,
	}
	for _, change := range changes {
		change(&k.config)
	}
	k.service = liftbridge.New(k.config)
	server := grpc.NewServer(grpc.ForceServerCodecV2(codec.New()), grpc.MaxRecvMsgSize(65<<20))
	k.service.Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		k.service.End()
		server.Stop()
		k.service.Wait()
		must(t, <-served)
	})
	k.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(128<<20)))
	must(t, err)
	t.Cleanup(func() { must(t, k.conn.Close()) })
	k.APIClient = liftbridgepb.NewAPIClient(k.conn)
	return k
}

func (k *kit) startNATS(t testing.TB, logger *slog.Logger) *capture.Source {
	t.Helper()
	server, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoSystemAccount: true, MaxPayload: host.MaxMessageBytes,
	})
	must(t, err)
	server.Start()
	t.Cleanup(func() { server.Shutdown(); server.WaitForShutdown() })
	if !server.ReadyForConnections(patience) {
		t.Fatal("NATS did not start")
	}
	source, err := capture.Connect(t.Context(), capture.Config{
		URLs: server.ClientURL(), Name: "test", MaxMessageBytes: host.MaxMessageBytes, Logger: logger,
	})
	must(t, err)
	t.Cleanup(source.Close)
	closed := make(chan struct{})
	k.nats, err = nats.Connect(server.ClientURL(), nats.Timeout(patience), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	must(t, err)
	t.Cleanup(func() { k.nats.Close(); <-closed })
	return source
}

func (k *kit) startHost(t testing.TB, source *capture.Source, meta *control, address string, logger *slog.Logger) {
	t.Helper()
	disk := vfs.NewMem(1)
	folder, err := host.OpenFolder(disk, "/data", "b", "", "c")
	must(t, err)
	t.Cleanup(func() { must(t, folder.Close()) })
	files := commitlog.NewFiles(disk, 64)
	t.Cleanup(func() { must(t, files.Close()) })
	marks, err := folder.OpenMarks()
	must(t, err)
	t.Cleanup(func() { must(t, marks.Close()) })
	k.streams, err = host.Open(t.Context(), host.Config{
		Folder: folder, Files: files, Marks: marks, Metadata: meta, Publisher: source,
		Subscribe: func(ctx context.Context, target capture.Target, sink capture.Sink) (host.Capture, error) {
			s, err := source.Subscribe(ctx, target, sink)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		RaftID: "b@1", ClientAddress: address, PeerAddress: "h:2", Now: time.Now,
		OnFault: func(err error) { t.Errorf("fault: %v", err) }, Logger: logger,
	})
	must(t, err)
	t.Cleanup(func() { must(t, k.streams.Close(context.Background())) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// call is a context with a deadline: one without it gets no ack.
func call(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (k *kit) create(t testing.TB, name string, changes ...func(*liftbridgepb.CreateStreamRequest)) {
	t.Helper()
	req := &liftbridgepb.CreateStreamRequest{Name: name, Subject: name}
	for _, change := range changes {
		change(req)
	}
	_, err := k.CreateStream(call(t), req)
	must(t, err)
}

func (k *kit) publish(t testing.TB, stream string, values ...string) (acks []*liftbridgepb.Ack) {
	t.Helper()
	for _, v := range values {
		res, err := k.Publish(call(t), &liftbridgepb.PublishRequest{Stream: stream, Value: []byte(v), ExpectedOffset: -1, AckPolicy: liftbridgepb.AckPolicy_ALL})
		must(t, err)
		acks = append(acks, res.GetAck())
	}
	return acks
}

// read subscribes and returns the values of the messages and how the subscription ended. It checks that the first message is
// empty.
func (k *kit) read(t testing.TB, req *liftbridgepb.SubscribeRequest) (values []string, ended error) {
	t.Helper()
	sub, err := k.Subscribe(call(t), req)
	must(t, err)
	first, err := sub.Recv()
	if err != nil {
		return nil, err
	}
	if first.GetStream() != "" || first.GetHeaders() != nil || first.GetValue() != nil {
		t.Errorf("the first message is %v, want an empty one", first)
	}
	for {
		m, err := sub.Recv()
		if err != nil {
			return values, err
		}
		values = append(values, string(m.GetValue()))
	}
}

// refused checks code and text of an error.
func refused(t testing.TB, what string, err error, code codes.Code, text string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || text != "" && s.Message() != text {
		t.Errorf("%s: got %v, want %v %q", what, err, code, text)
	}
}
