package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
)

// Options say what a node consists of.
type Options struct {
	// Folder is the raft folder, made if it does not exist. This process must own it (the lock of the data folder).
	Folder string
	// Name is the broker's name. The raft id is Name@UUID, the UUID made with the folder's content and kept in it.
	Name string
	// Machine is the replicated state, empty.
	Machine Machine
	// Listener accepts connections of other nodes; the node closes it.
	Listener net.Listener
	// Dial connects to other nodes; default TCP.
	Dial Dial
	// Address is the peer address under which others reach this node; default the listener's.
	Address string
	// Addresses looks up other nodes; default the address that a node had when it was added.
	Addresses Addresses
	// Logger is for what raft logs; default [slog.Default].
	Logger *slog.Logger
	// Timing has a default for each of its fields.
	Timing Timing
	// Bootstrap makes a cluster with this node as its only voter, if the folder is empty; else it has no effect.
	Bootstrap bool
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Folder == "":
		return o, errors.New("the raft node has no folder: set Options.Folder")
	case o.Name == "":
		return o, errors.New("the raft node has no name: set Options.Name")
	case len(o.Name) > maxIDBytes-37:
		return o, fmt.Errorf("the broker's name %q has more than %d bytes", o.Name, maxIDBytes-37)
	case o.Machine == nil || o.Listener == nil:
		return o, errors.New("the raft node needs a machine and a listener: set Options.Machine and Options.Listener")
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	if o.Address == "" {
		o.Address = o.Listener.Addr().String()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Timing = o.Timing.withDefaults()
	return o, nil
}

// Node is one member of the metadata's raft group. It is safe for concurrent use.
type Node struct {
	id        string
	raft      *raft.Raft
	disk      *disk
	stream    *stream
	transport *transport
	book      *addressBook
	progress  *progress
	growth    *growth
	stop      *failStop

	changes  chan struct{}  // see LeadershipChanges
	watching sync.WaitGroup // the goroutines that fill changes and take snapshots

	mu        sync.Mutex
	closing   bool           // no calls begin any more
	calls     sync.WaitGroup // goroutines that wait for raft's answers
	stopped   chan struct{}  // closed when Shutdown begins
	abandoned chan struct{}  // closed when raft will answer no more
	ended     chan struct{}  // closed when all has ended
	endedWith error          // what went wrong at the end; valid once ended is closed
}

// Open reads and checks what lies in the folder and starts the node. ctx bounds the start only. A damaged folder is an
// error that is [ErrDamaged]; the listener is closed with every error.
//
// A node that is the only voter leads within a few milliseconds, whatever the timing: it stands for election at once.
func Open(ctx context.Context, options Options) (*Node, error) {
	n, err := open(ctx, options)
	if err != nil {
		if options.Listener != nil {
			err = errors.Join(err, closeListener(options.Listener))
		}
		return nil, err
	}
	return n, nil
}

func closeListener(listener net.Listener) error {
	if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func open(ctx context.Context, options Options) (*Node, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open the raft node: %w", err)
	}
	if err := os.MkdirAll(options.Folder, 0o750); err != nil {
		return nil, fmt.Errorf("make the raft folder: %w", err)
	}
	n := &Node{
		progress: new(progress), stop: newFailStop(), book: &addressBook{lookup: options.Addresses},
		changes: make(chan struct{}, 1), stopped: make(chan struct{}),
		abandoned: make(chan struct{}), ended: make(chan struct{}),
	}
	disk, err := openDisk(options.Folder, options.Name, options.Logger, n.stop)
	if err != nil {
		return nil, err
	}
	n.id, n.disk = disk.id, disk
	n.growth = newGrowth(options.Timing.SnapshotBytes, disk.snapshots.newestBytes())
	logger := raftLogger{out: options.Logger.With("raft_id", n.id)}
	n.stream = newStream(n.id, options.Listener, options.Dial)
	n.transport = newTransport(n.id, n.stream, n.book, logger)
	config := options.Timing.config()
	config.LocalID, config.Logger = raft.ServerID(n.id), logger
	if err := n.start(config, options); err != nil {
		return nil, errors.Join(err, n.transport.Close(), n.disk.store.Close())
	}
	n.book.raft.Store(n.raft)
	n.watch()
	n.watching.Go(n.keepShort)
	if err := n.standIfAlone(options.Timing); err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return nil, errors.Join(err, n.Shutdown(stopping))
	}
	return n, nil
}

// start starts raft on a goroutine of its own, for the stores to end if they fail (see [failStop]), and waits for it.
func (n *Node) start(config *raft.Config, options Options) error {
	replica := &replica{machine: options.Machine, progress: n.progress, growth: n.growth, stop: n.stop}
	err := errors.New("raft did not start")
	started := make(chan struct{})
	go func() {
		defer close(started)
		if err = n.bootstrap(config, options); err != nil {
			return
		}
		n.raft, err = raft.NewRaft(config, replica, n.disk.log, n.disk.stable, n.disk.snapshots, n.transport)
	}()
	<-started
	if cause := n.stop.cause(); cause != nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("start the raft node in %s: %w", options.Folder, err)
	}
	return nil
}

func (n *Node) bootstrap(config *raft.Config, options Options) error {
	if !options.Bootstrap {
		return nil
	}
	alone := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: config.LocalID, Address: serverAddress(options.Address, n.id),
	}}}
	err := raft.BootstrapCluster(config, n.disk.log, n.disk.stable, n.disk.snapshots, n.transport, alone)
	if errors.Is(err, raft.ErrCantBootstrap) {
		return nil
	}
	return err
}

// ID returns the raft id, Name@UUID.
func (n *Node) ID() string { return n.id }

// Applied returns the raft index up to which the machine holds everything.
func (n *Node) Applied() uint64 { return n.progress.index() }

// WaitApplied returns nil once the machine holds everything up to index, or the context's error, or [ErrStopped].
func (n *Node) WaitApplied(ctx context.Context, index uint64) error {
	return n.progress.wait(ctx, index, n.stopped)
}

// Fatal delivers the error after which the process must exit: the disk has failed, or what lies on it is damaged. The
// node takes no part in the cluster from then on and answers nothing but [ErrStopped]; [Node.Shutdown] still works.
// The channel has room for the one error that it will ever deliver, and is never closed.
func (n *Node) Fatal() <-chan error { return n.stop.reports }

func newIdentity(name string) (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("make a raft id: %w", err)
	}
	return name + "@" + id.String(), nil
}
