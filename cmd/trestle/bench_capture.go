package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
)

const (
	// pollTime is how often a stream is asked how far it is: rates are as exact as that.
	pollTime = 10 * time.Millisecond
	// silence is after how long without any further message the rest counts as lost.
	silence = 3 * time.Second
)

// progress finds out how many messages have come, until there are as many as are wanted or nothing more comes.
type progress struct {
	came  func(context.Context) (int64, error)
	heard int64
	at    time.Time // when heard grew last
}

// await looks until want messages have come, or silence.
func (p *progress) await(ctx context.Context, want int64) error {
	ticker := time.NewTicker(pollTime)
	defer ticker.Stop()
	p.at = time.Now()
	for {
		n, err := p.came(ctx)
		switch now := time.Now(); {
		case err != nil:
			return err
		case n > p.heard:
			p.heard, p.at = n, now
		case now.Sub(p.at) > silence:
			return nil
		}
		if p.heard >= want {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// measure has publishers publish to the subject, and finds out how fast as many messages come.
func (b *captureBench) measure(ctx context.Context, subject string, came func(context.Context) (int64, error)) (captureHalf, error) {
	group, err := b.startPublishers(ctx, subject)
	if err != nil {
		return captureHalf{}, err
	}
	began := time.Now()
	if err := group.begin(); err != nil {
		return captureHalf{}, err
	}
	p := progress{came: came}
	err = p.await(ctx, b.messages.n)
	if failed := group.wait(); err == nil {
		err = failed
	}
	if err != nil {
		return captureHalf{}, err
	}
	return captureHalf{perSecond: float64(p.heard) / p.at.Sub(began).Seconds(), lost: b.messages.n - p.heard}, nil
}

// subscriber measures a core NATS subscriber in this process, which counts and keeps nothing.
func (b *captureBench) subscriber(ctx context.Context, subject string) (half captureHalf, err error) {
	nc, err := nats.Connect(b.natsURL, nats.Name("trestle bench subscriber"))
	if err != nil {
		return half, fmt.Errorf("connect to NATS at %s: %w", b.natsURL, err)
	}
	defer nc.Close()
	var heard atomic.Int64
	sub, err := nc.Subscribe(subject, func(*nats.Msg) { heard.Add(1) })
	if err != nil {
		return half, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return half, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	if err := nc.Flush(); err != nil {
		return half, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return b.measure(ctx, subject, func(context.Context) (int64, error) { return heard.Load(), nil })
}

// captured measures the stream: what counts is what is committed.
func (b *captureBench) captured(ctx context.Context, stream *client.Stream, subject string) (captureHalf, error) {
	before, err := stream.Info(ctx)
	if err != nil {
		return captureHalf{}, err
	}
	half, err := b.measure(ctx, subject, func(ctx context.Context) (int64, error) {
		info, err := stream.Info(ctx)
		if err != nil {
			return 0, err
		}
		return info.Partitions[0].HighWatermark - before.Partitions[0].HighWatermark, nil
	})
	if err != nil {
		return half, err
	}
	after, err := stream.Info(ctx)
	if err != nil {
		return half, err
	}
	half.gaps = after.Partitions[0].Gaps - before.Partitions[0].Gaps
	return half, nil
}
