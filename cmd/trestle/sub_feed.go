package main

import (
	"context"
	"iter"

	"github.com/trestlehq/trestle/client"
)

// feed carries what a subscription hands out to the printer, which thereby knows when nothing is waiting: output is
// flushed then and only then, so that a live tail shows a message at once and a long read is fast.
type feed struct {
	items chan feedItem
	// stopped is closed when nobody takes items any more.
	stopped chan struct{}
}

// feedItem is a run of messages, or a gap, or the end.
type feedItem struct {
	messages  []client.Message
	partition int
	gap       *client.Gap
	err       error
}

func newFeed() *feed {
	return &feed{items: make(chan feedItem, 4), stopped: make(chan struct{})}
}

// put hands an item over; false means that nobody wants any more.
func (f *feed) put(item feedItem) bool {
	select {
	case f.items <- item:
		return true
	case <-f.stopped:
		return false
	}
}

// gap is the subscription's OnGap: it is called where the gap stands among the messages.
func (f *feed) gap(partition int, gap client.Gap) {
	f.put(feedItem{partition: partition, gap: &gap})
}

// batchReader is a subscription's Batches.
type batchReader func(context.Context) iter.Seq2[[]client.Message, error]

// run prints all that a subscription hands out, until its end, the printer's, or that of ctx.
func (f *feed) run(ctx context.Context, read batchReader, p *printer) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(f.items)
		for messages, err := range read(ctx) {
			if !f.put(feedItem{messages: messages, err: err}) {
				return
			}
		}
	}()
	defer func() {
		cancel()
		close(f.stopped)
		<-ended
	}()
	for {
		item, ok, err := f.next(p)
		if !ok || err != nil {
			return err
		}
		done, err := p.print(item)
		if done || err != nil {
			return err
		}
	}
}

// next is the next item; the printer is flushed before there is any waiting. Not ok means the end.
func (f *feed) next(p *printer) (feedItem, bool, error) {
	select {
	case item, ok := <-f.items:
		return item, ok, nil
	default:
	}
	if err := p.flush(); err != nil {
		return feedItem{}, false, err
	}
	item, ok := <-f.items
	return item, ok, nil
}
