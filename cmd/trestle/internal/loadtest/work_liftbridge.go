package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

// connectLiftbridge connects to a Liftbridge server in the clear.
func connectLiftbridge(addr string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to Liftbridge at %s: %w", addr, err)
	}
	return conn, nil
}

func prepareLiftbridge(ctx context.Context, job *Job) (t task, err error) {
	conn, err := connectLiftbridge(job.Addr)
	if err != nil {
		return nil, err
	}
	api := liftbridgepb.NewAPIClient(conn)
	switch {
	case job.Task == TaskLiftbridgeProduce && job.InFlight == 1:
		return &liftbridgeSingle{job: job, conn: conn, api: api}, nil
	case job.Task == TaskLiftbridgeProduce:
		return &liftbridgeProduction{job: job, conn: conn, api: api}, nil
	}
	r := &liftbridgeReading{job: job, conn: conn, api: api}
	if job.Task == TaskLiftbridgeHear {
		if err := r.subscribe(ctx, liftbridgepb.StartPosition_NEW_ONLY); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

// liftbridgeSingle publishes and waits for each ack.
type liftbridgeSingle struct {
	job  *Job
	conn *grpc.ClientConn
	api  liftbridgepb.APIClient
}

func (p *liftbridgeSingle) close() { _ = p.conn.Close() } // every publish was judged by its own ack

func (p *liftbridgeSingle) run(ctx context.Context) (o Outcome, err error) {
	o.Latency = NewHistogram()
	request := &liftbridgepb.PublishRequest{Stream: p.job.Stream, Value: make([]byte, p.job.Size), AckPolicy: liftbridgepb.AckPolicy_ALL}
	for limit := newLimit(p.job); !limit.reached(ctx, o.Messages, true); o.Messages++ {
		begun := time.Now()
		if _, err := p.api.Publish(ctx, request); err != nil {
			return o, fmt.Errorf("publish to stream %q of Liftbridge: %w", p.job.Stream, err)
		}
		o.Latency.Record(time.Since(begun))
	}
	o.Ended = time.Now()
	return o, nil
}

// liftbridgeProduction publishes on Liftbridge's stream of publishes.
type liftbridgeProduction struct {
	job  *Job
	conn *grpc.ClientConn
	api  liftbridgepb.APIClient
}

func (p *liftbridgeProduction) close() { _ = p.conn.Close() }

func (p *liftbridgeProduction) run(ctx context.Context) (o Outcome, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	publishes, err := p.api.PublishAsync(ctx)
	if err != nil {
		return o, fmt.Errorf("publish to stream %q of Liftbridge: %w", p.job.Stream, err)
	}
	window := make(chan struct{}, p.job.InFlight)
	var acking sync.WaitGroup
	var acked Outcome
	var failure error
	acking.Go(func() {
		defer cancel() // who waits for room waits in vain now
		acked, failure = liftbridgeAcks(publishes, window)
	})
	value := make([]byte, p.job.Size)
	limit := newLimit(p.job)
	var sent int64
	for ; !limit.reached(ctx, sent, false); sent++ {
		select {
		case window <- struct{}{}:
		case <-ctx.Done():
		}
		if err := publishes.Send(&liftbridgepb.PublishRequest{Stream: p.job.Stream, Value: value, AckPolicy: liftbridgepb.AckPolicy_ALL}); err != nil {
			break // the reason is the receiver's
		}
	}
	// Liftbridge forgets what is on its way when the stream is closed: so it is closed when all acks have come.
	for full := 0; full < cap(window) && ctx.Err() == nil; full++ {
		select {
		case window <- struct{}{}:
		case <-ctx.Done():
		}
	}
	if err := publishes.CloseSend(); err != nil {
		cancel()
	}
	acking.Wait()
	if failure != nil {
		return o, fmt.Errorf("publish to stream %q of Liftbridge: %w", p.job.Stream, failure)
	}
	return acked, nil
}

// liftbridgeAcks takes acks until the stream ends, and makes room for each.
func liftbridgeAcks(publishes grpc.BidiStreamingClient[liftbridgepb.PublishRequest, liftbridgepb.PublishResponse], window <-chan struct{}) (o Outcome, err error) {
	for {
		response, err := publishes.Recv()
		if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
			return o, nil
		}
		if err != nil {
			return o, err
		}
		if response.GetAsyncError() != nil || response.GetAck().GetAckError() != liftbridgepb.Ack_OK {
			o.Failed++
		} else {
			o.Messages++
		}
		o.Ended = time.Now()
		<-window
	}
}

// liftbridgeReading receives messages.
type liftbridgeReading struct {
	job  *Job
	conn *grpc.ClientConn
	api  liftbridgepb.APIClient
	sub  grpc.ServerStreamingClient[liftbridgepb.Message] // nil: run subscribes, from the start
	stop context.CancelFunc
}

// subscribe returns when Liftbridge has confirmed it.
func (r *liftbridgeReading) subscribe(ctx context.Context, from liftbridgepb.StartPosition) error {
	ctx, r.stop = context.WithCancel(ctx)
	sub, err := r.api.Subscribe(ctx, &liftbridgepb.SubscribeRequest{Stream: r.job.Stream, StartPosition: from})
	if err == nil {
		_, err = sub.Recv() // empty
	}
	if err != nil {
		return fmt.Errorf("subscribe to stream %q of Liftbridge: %w", r.job.Stream, err)
	}
	r.sub = sub
	return nil
}

func (r *liftbridgeReading) close() {
	if r.stop != nil {
		r.stop()
	}
	_ = r.conn.Close()
}

func (r *liftbridgeReading) run(ctx context.Context) (o Outcome, err error) {
	if r.sub == nil {
		if err := r.subscribe(ctx, liftbridgepb.StartPosition_EARLIEST); err != nil {
			return o, err
		}
	}
	t := newTally(r.job)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer r.stop()
	ended, end := context.WithCancel(ctx)
	defer end()
	watching.Go(func() {
		defer r.stop()
		t.await(ended)
	})
	for {
		m, err := r.sub.Recv()
		if err != nil && (ctx.Err() != nil || status.Code(err) == codes.Canceled) {
			return t.outcome(), nil
		}
		if err != nil {
			return o, fmt.Errorf("read stream %q of Liftbridge: %w", r.job.Stream, err)
		}
		t.hear(m.GetValue())
	}
}
