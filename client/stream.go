package client

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// Stream is a handle on a stream: cheap to make, nothing is asked of a server until it is used. It is safe for
// concurrent use.
type Stream struct {
	client *Client
	name   string
	known  atomic.Pointer[shape] // nil until a partitioner needs it
}

// Stream is a handle on the stream of that name, whether it exists or not.
func (c *Client) Stream(name string) *Stream { return &Stream{client: c, name: name} }

// Name of the stream.
func (s *Stream) Name() string { return s.name }

// CreateStream creates a stream, and returns once it records what is published on its subjects. It is ErrStreamExists
// when the name is taken.
func (c *Client) CreateStream(ctx context.Context, cfg StreamConfig) (*Stream, error) {
	return c.create(ctx, &cfg, false)
}

// EnsureStream is CreateStream, but content with a stream that exists and has this configuration, defaults filled in.
// One that differs is a *ConfigDiffError.
func (c *Client) EnsureStream(ctx context.Context, cfg StreamConfig) (*Stream, error) {
	s, err := c.create(ctx, &cfg, true)
	return s, configDiff(cfg.Name, err)
}

func (c *Client) create(ctx context.Context, cfg *StreamConfig, acceptExisting bool) (*Stream, error) {
	config, err := cfg.toProto()
	if err != nil {
		return nil, err
	}
	if err := c.begin(); err != nil {
		return nil, err
	}
	defer c.end()
	req := &trestlev1.CreateStreamRequest{Config: config, AcceptExisting: acceptExisting}
	if _, err := c.streams.CreateStream(ctx, req); err != nil {
		return nil, callError(fmt.Sprintf("create stream %q", cfg.Name), err)
	}
	return c.Stream(cfg.Name), nil
}

// Streams are the streams whose names match glob (* ? [a-z]), all if it is empty, in the order of names. They are asked
// for page by page as the loop goes on; an error ends it.
func (c *Client) Streams(ctx context.Context, glob string) iter.Seq2[StreamInfo, error] {
	return func(yield func(StreamInfo, error) bool) {
		req := &trestlev1.ListStreamsRequest{Glob: glob}
		for {
			page, err := c.listStreams(ctx, req)
			if err != nil {
				yield(StreamInfo{}, err)
				return
			}
			for _, stream := range page.GetStreams() {
				if !yield(infoFromProto(stream), nil) {
					return
				}
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				return
			}
		}
	}
}

func (c *Client) listStreams(ctx context.Context, req *trestlev1.ListStreamsRequest) (*trestlev1.ListStreamsResponse, error) {
	if err := c.begin(); err != nil {
		return nil, err
	}
	defer c.end()
	page, err := c.streams.ListStreams(ctx, req)
	if err != nil {
		return nil, callError("list streams", err)
	}
	return page, nil
}

// Info is the configuration and the state of the stream.
func (s *Stream) Info(ctx context.Context) (StreamInfo, error) {
	if err := s.client.begin(); err != nil {
		return StreamInfo{}, err
	}
	defer s.client.end()
	resp, err := s.client.streams.GetStream(ctx, &trestlev1.GetStreamRequest{Name: s.name})
	if err != nil {
		return StreamInfo{}, callError(fmt.Sprintf("describe stream %q", s.name), err)
	}
	return infoFromProto(resp.GetStream()), nil
}
