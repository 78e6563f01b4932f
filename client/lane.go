package client

import "github.com/trestlehq/trestle/proto/batch"

// parcelBytes is the largest batch of several messages that a server takes, without its header.
const parcelBytes = 1<<20 - batch.HeaderSize

// lane takes the messages of a producer to one partition: one batch at a time, in order. What is sent while a batch is
// on its way makes the next one.
type lane struct {
	producer  *Producer
	partition int32

	// Under the producer's mu.
	queue   []*parcel
	current *parcel // taken from the queue
	sending bool    // a goroutine sends

	// Of the goroutine that sends. A new epoch begins where the numbers of the old one are of no use any more.
	epoch    uint32
	sequence uint32 // of the next batch
}

// add puts a record behind the others, and sees to it that it is sent. It is called with the producer's mu held.
func (l *lane) add(r *batch.Record, size int) (*Future, error) {
	p := l.producer
	if p.stream.client.isClosed() { // it lets those finish that were there before
		return nil, errClientClosed()
	}
	var b *parcel
	if n := len(l.queue); n > 0 && len(l.queue[n-1].records)+size <= parcelBytes {
		b = l.queue[n-1]
	} else {
		if err := l.start(); err != nil {
			return nil, err
		}
		b = &parcel{partition: l.partition, settled: make(chan struct{})}
		l.queue = append(l.queue, b)
	}
	b.records = batch.AppendRecord(b.records, r)
	b.size += size
	b.count++
	p.messages++
	p.bytes += size
	return &Future{parcel: b, index: b.count - 1}, nil
}

// start starts the goroutine that sends, if none does. It is called with the producer's mu held.
func (l *lane) start() error {
	if l.sending {
		return nil
	}
	if err := l.producer.stream.client.begin(); err != nil {
		return err
	}
	l.sending = true
	l.producer.running.Go(func() {
		defer l.producer.stream.client.end()
		for b := l.take(); b != nil; b = l.take() {
			ack, err := l.deliver(b)
			l.producer.settle(b, ack, err)
		}
	})
	return nil
}

// take is the next batch; nil means that there is none, and that the goroutine is to end.
func (l *lane) take() *parcel {
	p := l.producer
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue, l.current, l.sending = nil, nil, false
		return nil
	}
	l.current = l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	return l.current
}

// last is the batch behind which nothing waits, nil if nothing does at all. It is called with the producer's mu held.
func (l *lane) last() *parcel {
	if n := len(l.queue); n > 0 {
		return l.queue[n-1]
	}
	return l.current
}

// beginEpoch makes the numbers begin anew.
func (l *lane) beginEpoch() { l.epoch, l.sequence = l.epoch+1, 0 }
