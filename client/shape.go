package client

import (
	"context"
	"strconv"
)

// shape is what is asked once about a stream to publish to it.
type shape struct {
	partitions int
	hash       KeyHash
	largest    int64 // message, in bytes of key, value and headers; 0 or None: no limit is known
}

// shape asks for the number of partitions when that is not known to the handle yet. Of partitions that are added later it
// learns when the server refuses what was placed among fewer (protocol.md 3.15).
func (s *Stream) shape(ctx context.Context) (shape, error) {
	if known := s.known.Load(); known != nil {
		return *known, nil
	}
	return s.askShape(ctx)
}

// askShape asks what is as it is now, but for the partitions that are known already.
func (s *Stream) askShape(ctx context.Context) (shape, error) {
	now, err := s.shapeNow(ctx)
	if err != nil {
		return shape{}, err
	}
	if before := s.known.Load(); before != nil {
		now.partitions, now.hash = before.partitions, before.hash
	}
	s.known.Store(&now)
	return now, nil
}

// shapeNow asks what is as it is now.
func (s *Stream) shapeNow(ctx context.Context) (shape, error) {
	info, err := s.Info(ctx)
	if err != nil {
		return shape{}, err
	}
	if len(info.Partitions) == 0 {
		return shape{}, newError(reasonInternal, "find a partition of stream %q: the server says that it has none", s.name)
	}
	return shape{partitions: len(info.Partitions), hash: info.Config.KeyHash, largest: info.Config.MaxMessageBytes}, nil
}

// fits refuses a message of so many bytes that the stream does not take, before anything of it is sent. It asks again
// before it says no: the limit may have been raised.
func (s *Stream) fits(ctx context.Context, size int64) error {
	if known := s.known.Load(); known != nil && !known.tooSmallFor(size) {
		return nil
	}
	return s.fitsNow(ctx, size)
}

func (s *Stream) fitsNow(ctx context.Context, size int64) error {
	known, err := s.shape(ctx)
	if err == nil && known.tooSmallFor(size) {
		known, err = s.askShape(ctx)
	}
	if err != nil || !known.tooSmallFor(size) {
		return err
	}
	return tooLarge(size, known.largest, "publish to stream %q: a message of %d bytes of key, value and headers, and the stream takes %d at most; send less at a time, or raise its MaxMessageBytes, as `trestle stream edit --max-message` does",
		s.name, size, known.largest)
}

func (known *shape) tooSmallFor(size int64) bool { return known.largest > 0 && size > known.largest }

func tooLarge(size, limit int64, format string, args ...any) *Error {
	e := newError(reasonTooLarge, format, args...)
	e.Names = map[string]string{"bytes": strconv.FormatInt(size, 10), "limit": strconv.FormatInt(limit, 10)}
	return e
}

// size is that of key, value and headers, as a stream's MaxMessageBytes counts it.
func (m *Message) size() int64 {
	n := len(m.Key) + len(m.Value)
	for i := range m.Headers {
		n += len(m.Headers[i].Name) + len(m.Headers[i].Value)
	}
	return int64(n)
}
