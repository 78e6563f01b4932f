package main

import (
	"context"

	"github.com/trestlehq/trestle/client"
)

// publishInTurn publishes message by message to one partition after the other.
func (f *pubFlags) publishInTurn(ctx context.Context, stream *client.Stream, values valueBatches, summary *pubSummary) (last client.Ack, err error) {
	p := stream.Producer(client.ProducerConfig{Partitioner: client.RoundRobin(), Ack: client.AckPolicy(f.ack.word)})
	defer func() {
		// What failed was told by its future.
		_ = p.Close(ctx)
	}()
	for values, err := range values {
		if err != nil {
			return last, err
		}
		if last, err = f.sendInTurn(ctx, p, values, summary); err != nil {
			return last, err
		}
	}
	return last, nil
}

// sendInTurn sends a batch of values, waits for all of them, and adds up the acks.
func (f *pubFlags) sendInTurn(ctx context.Context, p *client.Producer, values [][]byte, summary *pubSummary) (last client.Ack, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	futures := make([]*client.Future, len(values))
	for i, value := range values {
		futures[i] = p.Send(ctx, f.message(value))
	}
	for _, future := range futures {
		if last, err = future.Ack(ctx); err != nil {
			return last, err
		}
		summary.add(&last, 1)
	}
	return last, nil
}

// message is what the flags say about one message.
func (f *pubFlags) message(value []byte) client.Message {
	m := client.Message{Value: value, Subject: string(f.subject)}
	if f.keyed {
		m.Key = append([]byte{}, f.key...)
	}
	for _, h := range f.headers {
		m.Headers = append(m.Headers, client.HeaderField{Name: h.name, Value: []byte(h.value)})
	}
	return m
}
