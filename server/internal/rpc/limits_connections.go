package rpc

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// limitedListener accepts so many connections at one time and closes those beyond at once.
type limitedListener struct {
	net.Listener
	limit  int64
	logger *slog.Logger

	open atomic.Int64
	full atomic.Bool // said in the log since a connection was last taken on
}

func limitConnections(l net.Listener, limit int, logger *slog.Logger) net.Listener {
	return &limitedListener{Listener: l, limit: int64(limit), logger: logger}
}

// Accept returns the next connection that there is room for.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			l.full.Store(false)
			return &countedConn{Conn: conn, listener: l}, nil
		}
		l.open.Add(-1)
		if !l.full.Swap(true) {
			l.logger.Warn("connections are refused: there are as many as the broker takes on; close some, or ask another broker",
				"limit", l.limit, "remote", conn.RemoteAddr())
		}
		_ = conn.Close() // nothing was promised on it
	}
}

// countedConn makes room when it is closed.
type countedConn struct {
	net.Conn
	listener *limitedListener
	closed   sync.Once
}

// SyscallConn has gRPC read without a buffer of its own for each connection that is silent.
func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	if conn, ok := c.Conn.(syscall.Conn); ok {
		return conn.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Close closes the connection. It may be called more than once.
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() { c.listener.open.Add(-1) })
	return err
}
