package compat

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
)

// Every start and stop position.
func TestPositions(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	var times []time.Time
	for i := range 5 {
		ack, err := c.Publish(ctx, "s", fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, ack.ReceptionTimestamp())
	}
	type options = []lift.SubscriptionOption
	for name, test := range map[string]struct {
		options options
		want    string
	}{
		"earliest to latest":        {options{lift.StartAtEarliestReceived(), lift.StopAtLatestReceived()}, "0 1 2 3 4"},
		"offset to offset":          {options{lift.StartAtOffset(1), lift.StopAtOffset(3)}, "1 2 3"},
		"one offset":                {options{lift.StartAtOffset(2), lift.StopAtOffset(2)}, "2"},
		"below the oldest":          {options{lift.StartAtOffset(-7), lift.StopAtOffset(0)}, "0"},
		"latest":                    {options{lift.StartAtLatestReceived(), lift.StopAtLatestReceived()}, "4"},
		"time":                      {options{lift.StartAtTime(times[2]), lift.StopAtLatestReceived()}, "2 3 4"},
		"before all":                {options{lift.StartAtTimeDelta(time.Hour), lift.StopAtOffset(1)}, "0 1"},
		"to a time":                 {options{lift.StartAtEarliestReceived(), lift.StopAtTime(times[1])}, "0 1"},
		"explicit partition":        {options{lift.StartAtEarliestReceived(), lift.StopAtOffset(0), lift.Partition(0)}, "0"},
		"from a replica":            {options{lift.StartAtEarliestReceived(), lift.StopAtOffset(0), lift.ReadISRReplica()}, "0"},
		"resume what is not paused": {options{lift.StartAtEarliestReceived(), lift.StopAtOffset(0), lift.Resume()}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := subscribe(t, c, "s", test.options...)
			r.expect(strings.Fields(test.want)...)
			r.ends(lift.ErrReadonlyPartition)
		})
	}
	t.Run("new only", func(t *testing.T) {
		r, beyond := subscribe(t, c, "s", lift.StartAtNewOnly()), subscribe(t, c, "s", lift.StartAtOffset(1000))
		publish(t, ctx, c, "s", "5")
		r.expect("5")
		beyond.expect("5") // an offset beyond the end waits for the next message
	})
	t.Run("stop before start", func(t *testing.T) {
		if _, err := trySubscribe(t, c, "s", lift.StartAtOffset(3), lift.StopAtOffset(1)); err == nil || !strings.Contains(err.Error(), "Stop offset is before start offset") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		create(t, ctx, c, "empty")
		if _, err := trySubscribe(t, c, "empty", lift.StartAtEarliestReceived(), lift.StopAtLatestReceived()); !errors.Is(err, lift.ErrReadonlyPartition) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no partition", func(t *testing.T) {
		if _, err := trySubscribe(t, c, "s", lift.Partition(9)); err == nil { // found by the client itself
			t.Errorf("got %v", err)
		}
	})
}

// The offsets of a compacted stream have holes, in which a subscription can stop.
func TestCompacted(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.CompactEnabled(true), lift.SegmentMaxBytes(16<<10))
	for i := range 100 {
		if _, err := c.Publish(ctx, "s", make([]byte, 1<<10), lift.Key(fmt.Append(nil, i%3))); err != nil {
			t.Fatal(err)
		}
	}
	r := subscribe(t, c, "s", lift.StartAtEarliestReceived(), lift.StopAtOffset(97))
	last := int64(-1)
	for {
		got := r.next()
		if got.err != nil {
			if !errors.Is(got.err, lift.ErrReadonlyPartition) {
				t.Fatal(got.err)
			}
			break
		}
		if got.msg.Offset() <= last || got.msg.Offset() > 97 {
			t.Fatalf("offset %d after %d", got.msg.Offset(), last)
		}
		last = got.msg.Offset()
	}
}

// Readers and publishers come through a restart of the broker without a word to them, and nothing is lost or doubled.
func TestRestart(t *testing.T) {
	notShort(t)
	for name, signal := range map[string]syscall.Signal{"in order": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			c, ctx := b.connect(lift.ResubscribeWaitTime(patience))
			create(t, ctx, c, "s", lift.Partitions(2))
			if err := c.SetCursor(ctx, "mine", "s", 0, 1); err != nil {
				t.Fatal(err)
			}
			publish(t, ctx, c, "s", "0", "1")
			r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
			r.expect("0", "1")
			b.restart(signal)
			again, ctx := b.connect()
			publish(t, ctx, again, "s", "2")
			r.expect("2")
			// The publish stream of the first client was made anew.
			for {
				if _, err := c.Publish(ctx, "s", []byte("3")); err == nil {
					break
				}
				if ctx.Err() != nil {
					t.Fatal("the first client cannot publish any more")
				}
			}
			r.expect("3")
			t.Run("cursor", func(t *testing.T) {
				if at, err := again.FetchCursor(ctx, "mine", "s", 0); err != nil || at != 1 {
					t.Errorf("cursor %d, %v", at, err)
				}
			})
			t.Run("all is there once", func(t *testing.T) {
				all := subscribe(t, again, "s", lift.StartAtEarliestReceived(), lift.StopAtLatestReceived())
				all.expect("0", "1", "2", "3")
			})
		})
	}
}

// A subscription that its reader ends says nothing more.
func TestUnsubscribe(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	publish(t, ctx, c, "s", "0")
	gone, stays := subscribe(t, c, "s", lift.StartAtEarliestReceived()), subscribe(t, c, "s", lift.StartAtEarliestReceived())
	gone.expect("0")
	stays.expect("0")
	gone.stop()
	publish(t, ctx, c, "s", "1")
	stays.expect("1")
}

func TestCursors(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.Partitions(2))
	fetch := func(id, stream string, partition int32, want int64) {
		t.Helper()
		if at, err := c.FetchCursor(ctx, id, stream, partition); err != nil || at != want {
			t.Errorf("cursor %s of %s/%d: got %d, %v; want %d", id, stream, partition, at, err, want)
		}
	}
	fetch("mine", "s", 0, -1)
	for _, at := range []int64{0, 7, 3} {
		if err := c.SetCursor(ctx, "mine", "s", 1, at); err != nil {
			t.Fatal(err)
		}
		fetch("mine", "s", 1, at)
	}
	fetch("mine", "s", 0, -1)
	fetch("other", "s", 1, -1)
	fetch("mine", "nope", 0, -1)
	t.Run("of no stream", func(t *testing.T) {
		if err := c.SetCursor(ctx, "mine", "nope", 0, 0); err == nil {
			t.Error("was set")
		}
	})
	t.Run("without an id", func(t *testing.T) {
		if err := c.SetCursor(ctx, "", "s", 0, 0); err == nil {
			t.Error("was set")
		}
	})
}
