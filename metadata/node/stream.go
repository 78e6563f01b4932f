package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A connection begins with a greeting from the one who dialled:
//
//	version u8 = 1 | bytes u8 | raft id of the node that is wanted
//
// Raft's messages do not say whom they are meant for. If an address has passed to another broker then a vote or an
// acknowledgement of that broker would be counted as the wanted one's, and with five voters one broker could be counted
// twice. So whoever is not wanted closes the connection before raft sees it.
const (
	greetingVersion = 1
	greetingTime    = 5 * time.Second // for a greeting to arrive
	maxIDBytes      = 255

	// addressMark stands between address and raft id in a raft.ServerAddress, which so is never the same for two nodes,
	// even if one has taken over the other's address.
	addressMark = "|"
)

func serverAddress(address, id string) raft.ServerAddress {
	return raft.ServerAddress(address + addressMark + id)
}

func splitServerAddress(server raft.ServerAddress) (address, id string, err error) {
	address, id, ok := strings.Cut(string(server), addressMark)
	if !ok || address == "" || id == "" {
		return "", "", fmt.Errorf("no peer address is known for the metadata node %q", server)
	}
	return address, id, nil
}

// Dial opens a connection to a broker's peer address. It must end when the context does.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// stream is the network below raft's transport. It owns the listener and every connection in both directions, so that
// it can end them: raft's transport ends neither when it closes.
type stream struct {
	net.Listener
	id    string
	dial  Dial
	ctx   context.Context // done when the stream closes
	close context.CancelFunc

	mu      sync.Mutex
	open    map[net.Conn]struct{}
	closed  bool
	serving sync.WaitGroup // one for each open connection
}

var _ raft.StreamLayer = (*stream)(nil)

func newStream(id string, listener net.Listener, dial Dial) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	return &stream{Listener: listener, id: id, dial: dial, ctx: ctx, close: cancel, open: make(map[net.Conn]struct{})}
}

// Accept returns the next connection. Its greeting is read with its first bytes, by the goroutine that serves it.
func (s *stream) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	owned, err := s.own(conn)
	if err != nil {
		return nil, err
	}
	return &greeted{Conn: owned, id: s.id}, nil
}

// Dial connects to a node and greets it.
func (s *stream) Dial(server raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	address, id, err := splitServerAddress(server)
	if err != nil {
		return nil, err
	}
	if len(id) > maxIDBytes {
		return nil, fmt.Errorf("raft id %q has more than %d bytes", id, maxIDBytes)
	}
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	conn, err := s.dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial the metadata node %s at %s: %w", id, address, err)
	}
	owned, err := s.own(conn)
	if err != nil {
		return nil, err
	}
	greeting := append([]byte{greetingVersion, byte(len(id))}, id...)
	err = owned.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = owned.Write(greeting)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("greet the metadata node %s at %s: %w", id, address, err), owned.Close())
	}
	return owned, nil
}

// own notes a connection, or closes it if the stream is closed.
func (s *stream) own(conn net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	s.open[conn] = struct{}{}
	s.serving.Add(1)
	return &owned{Conn: conn, stream: s}, nil
}

func (s *stream) disown(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[conn]; ok {
		delete(s.open, conn)
		s.serving.Done()
	}
}

// Close ends the listener, dials under way and all connections.
func (s *stream) Close() error {
	s.close()
	err := s.Listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for conn := range s.open {
		// Whoever reads or writes it sees the error, and closes the connection for good.
		_ = conn.Close()
	}
	return err
}

// wait returns when all connections have been let go by those who served them.
func (s *stream) wait() { s.serving.Wait() }

type owned struct {
	net.Conn
	stream *stream
}

// Close closes the connection and lets go of it.
func (c *owned) Close() error {
	defer c.stream.disown(c.Conn)
	return c.Conn.Close()
}

// greeted is an accepted connection. One goroutine reads it.
type greeted struct {
	net.Conn
	id   string
	done bool
}

// Read reads the greeting first, and fails if another node is wanted.
func (c *greeted) Read(p []byte) (int, error) {
	if !c.done {
		if err := c.greeting(); err != nil {
			return 0, err
		}
		c.done = true
	}
	return c.Conn.Read(p)
}

func (c *greeted) greeting() error {
	if err := c.SetReadDeadline(time.Now().Add(greetingTime)); err != nil {
		return err
	}
	var head [2]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return fmt.Errorf("read the greeting of %s: %w", c.RemoteAddr(), err)
	}
	if head[0] != greetingVersion {
		return fmt.Errorf("%s greets in version %d, this broker knows %d", c.RemoteAddr(), head[0], greetingVersion)
	}
	wanted := make([]byte, head[1])
	if _, err := io.ReadFull(c.Conn, wanted); err != nil {
		return fmt.Errorf("read the greeting of %s: %w", c.RemoteAddr(), err)
	}
	if string(wanted) != c.id {
		return fmt.Errorf("%s wants the metadata node %q, this one is %q", c.RemoteAddr(), wanted, c.id)
	}
	return c.SetReadDeadline(time.Time{})
}
