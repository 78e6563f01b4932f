package compat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
)

// Every option of CreateStream that a single broker can keep.
func TestStreamOptions(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	for name, option := range map[string]lift.StreamOption{
		"group": lift.Group("g"), "replicas": lift.ReplicationFactor(1), "all-replicas": lift.MaxReplication(), "partitions": lift.Partitions(3),
		"bytes": lift.RetentionMaxBytes(1 << 20), "messages": lift.RetentionMaxMessages(10), "age": lift.RetentionMaxAge(time.Hour),
		"no-age": lift.RetentionMaxAge(0), "cleaner": lift.CleanerInterval(time.Minute), "segment-bytes": lift.SegmentMaxBytes(1024),
		"segment-age": lift.SegmentMaxAge(time.Millisecond), "compact-goroutines": lift.CompactMaxGoroutines(3), "compact": lift.CompactEnabled(true),
		"auto-pause": lift.AutoPauseTime(time.Minute), "auto-pause-subscribers": lift.AutoPauseDisableIfSubscribers(true), "min-isr": lift.MinISR(1),
		"concurrency": lift.OptimisticConcurrencyControl(true), "no-encryption": lift.Encryption(false),
	} {
		if err := c.CreateStream(ctx, "s."+name, name, option); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		publish(t, ctx, c, name, "x")
		subscribe(t, c, name, lift.StartAtEarliestReceived()).expect("x")
	}
}

// What cannot be done is refused with the code that the client understands.
func TestStreamRefusals(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"no name":       {c.CreateStream(ctx, "s", ""), "InvalidArgument desc = Name cannot be empty"},
		"exists":        {c.CreateStream(ctx, "other", "s"), lift.ErrStreamExists.Error()},
		"subject":       {c.CreateStream(ctx, "a b", "x"), "InvalidArgument desc = Subject is invalid"},
		"reserved":      {c.CreateStream(ctx, "x", "__cursors"), "InvalidArgument desc = Stream is reserved"},
		"replicas":      {c.CreateStream(ctx, "x", "x", lift.ReplicationFactor(3)), "InvalidArgument desc = Invalid replicationFactor 3, cluster size 1"},
		"min isr":       {c.CreateStream(ctx, "x", "x", lift.MinISR(2)), "InvalidArgument desc = min_isr"},
		"delete none":   {c.DeleteStream(ctx, "nope"), "stream does not exist"},
		"pause none":    {c.PauseStream(ctx, "nope"), "stream partition does not exist"},
		"readonly none": {c.SetStreamReadonly(ctx, "s", lift.ReadonlyPartitions(7)), "stream partition does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
				t.Errorf("got %v, want %s", test.err, test.want)
			}
		})
	}
}

// Names are never paths, and requests that cannot be meant end nobody.
func TestHostileRequests(t *testing.T) {
	for name, create := range map[string]func(c lift.Client, ctx context.Context) error{
		"path": func(c lift.Client, ctx context.Context) error { return c.CreateStream(ctx, "x", "../../x") },
		"no partitions": func(c lift.Client, ctx context.Context) error {
			return c.CreateStream(ctx, "x", "x", lift.Partitions(-1))
		},
		"limit below 0": func(c lift.Client, ctx context.Context) error {
			return c.CreateStream(ctx, "x", "x", lift.RetentionMaxBytes(-1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			c, ctx := b.connect()
			if err := create(c, ctx); err == nil || strings.Contains(err.Error(), "Unavailable") {
				t.Errorf("got %v, want a refusal", err)
			}
			if err := c.CreateStream(ctx, "after", "after"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	publish(t, ctx, c, "s", "old")
	r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
	r.expect("old")
	if err := c.DeleteStream(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	r.ends(lift.ErrStreamDeleted)
	if _, err := c.Publish(ctx, "s", nil); !errors.Is(err, lift.ErrNoSuchPartition) {
		t.Errorf("publishing to what is gone: %v", err)
	}
	if _, err := trySubscribe(t, c, "s"); !errors.Is(err, lift.ErrNoSuchPartition) {
		t.Errorf("subscribing to what is gone: %v", err)
	}
	create(t, ctx, c, "s") // the name is free, and nothing of the old one is left
	publish(t, ctx, c, "s", "new")
	subscribe(t, c, "s", lift.StartAtEarliestReceived()).expect("new")
}

// A pause ends subscriptions, and a publish ends the pause: of one partition, or of all with ResumeAll.
func TestPause(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.Partitions(2))
	paused := func(partition int32) bool {
		t.Helper()
		metadata, err := c.FetchMetadata(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return metadata.GetStream("s").GetPartition(partition).Paused()
	}
	publish(t, ctx, c, "s", "0")
	r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
	r.expect("0")
	if err := c.PauseStream(ctx, "s", lift.PausePartitions(0)); err != nil {
		t.Fatal(err)
	}
	r.ends(lift.ErrPartitionPaused)
	if !paused(0) || paused(1) {
		t.Error("not partition 0 alone is paused")
	}
	t.Run("is told of", func(t *testing.T) {
		if p, err := c.FetchPartitionMetadata(ctx, "s", 0); err != nil || !p.Paused() || p.PauseTimestamps().LatestTime().IsZero() {
			t.Errorf("%+v, %v", p, err)
		}
	})
	t.Run("can be read", func(t *testing.T) { // what is stored is delivered, and then the pause is told of
		r, err := trySubscribe(t, c, "s", lift.StartAtEarliestReceived())
		if err != nil {
			t.Fatal(err)
		}
		r.expect("0")
		r.ends(lift.ErrPartitionPaused)
	})
	r = subscribe(t, c, "s", lift.Resume())
	if paused(0) {
		t.Error("Resume did not resume")
	}
	publish(t, ctx, c, "s", "1")
	r.expect("1")
	for name, options := range map[string][]lift.PauseOption{"one resumes": nil, "all resume": {lift.ResumeAll()}} {
		t.Run(name, func(t *testing.T) {
			if err := c.PauseStream(ctx, "s", options...); err != nil {
				t.Fatal(err)
			}
			publish(t, ctx, c, "s", "2")
			if paused(0) || paused(1) == (len(options) > 0) {
				t.Errorf("after a publish to partition 0 they are paused: %v, %v", paused(0), paused(1))
			}
		})
	}
}

func TestReadonly(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.Partitions(2))
	publish(t, ctx, c, "s", "0")
	waiting := subscribe(t, c, "s", lift.StartAtEarliestReceived())
	waiting.expect("0")
	if err := c.SetStreamReadonly(ctx, "s", lift.ReadonlyPartitions(0)); err != nil {
		t.Fatal(err)
	}
	waiting.ends(lift.ErrReadonlyPartition)
	if _, err := c.Publish(ctx, "s", []byte("no")); !errors.Is(err, lift.ErrReadonlyPartition) {
		t.Errorf("publish: %v", err)
	}
	if _, err := c.Publish(ctx, "s", []byte("yes"), lift.ToPartition(1)); err != nil {
		t.Errorf("publish to the other partition: %v", err)
	}
	r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
	r.expect("0")
	r.ends(lift.ErrReadonlyPartition)
	p, err := c.FetchPartitionMetadata(ctx, "s", 0)
	if err != nil || p.ReadonlyTimestamps().LatestTime().IsZero() {
		t.Errorf("metadata: %+v, %v", p, err)
	}
	metadata, err := c.FetchMetadata(ctx) // the client leaves it out of what FetchPartitionMetadata returns
	if err != nil || !metadata.GetStream("s").GetPartition(0).Readonly() || metadata.GetStream("s").GetPartition(1).Readonly() {
		t.Errorf("metadata of the stream: %v", err)
	}
	if err := c.SetStreamReadonly(ctx, "s", lift.Readonly(false)); err != nil {
		t.Fatal(err)
	}
	publish(t, ctx, c, "s", "1")
	subscribe(t, c, "s", lift.StartAtEarliestReceived()).expect("0", "1")
}

func TestMetadata(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.Partitions(2))
	publish(t, ctx, c, "s", "0", "1")
	metadata, err := c.FetchMetadata(ctx, lift.Streams([]string{"s", "nope"}), lift.ConsumerGroups([]string{"nope"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("broker", func(t *testing.T) {
		all := metadata.Brokers()
		if len(all) != 1 || all[0].Addr() != b.grpc || all[0].ID() == "" || metadata.Broker(all[0].ID()) != all[0] || !slices.Contains(metadata.Addrs(), b.grpc) ||
			net.JoinHostPort(all[0].Host(), fmt.Sprint(all[0].Port())) != b.grpc || metadata.LastUpdated().IsZero() {
			t.Errorf("brokers: %+v", all)
		}
	})
	t.Run("load", func(t *testing.T) {
		if one := metadata.Brokers()[0]; one.PartitionCount() < 3 || one.LeaderCount() < 3 {
			t.Errorf("%d partitions, %d led; want 2 of the stream and that of the cursors", one.PartitionCount(), one.LeaderCount())
		}
	})
	t.Run("stream", func(t *testing.T) {
		s := metadata.GetStream("s")
		if n := metadata.PartitionCountForStream("s"); n != 2 || len(s.Partitions()) != 2 || s.Name() != "s" || s.Subject() != "s" || s.CreationTime().IsZero() {
			t.Errorf("%d partitions, %+v", n, s)
		}
		named := func(s *lift.StreamInfo) bool { return s.Name() == "s" }
		if all := metadata.Streams(); !slices.ContainsFunc(all, named) {
			t.Errorf("streams: %+v", all)
		}
	})
	t.Run("group that is not there", func(t *testing.T) {
		if g := metadata.GetConsumerGroup("nope"); g != nil && (g.ID() != "nope" || g.Epoch() != 0 || g.Coordinator() != "") {
			t.Errorf("%+v", g)
		}
	})
	t.Run("partition", func(t *testing.T) {
		p, err := c.FetchPartitionMetadata(ctx, "s", 0)
		if err != nil {
			t.Fatal(err)
		}
		if p.HighWatermark() != 1 || p.NewestOffset() != 1 || len(p.ISR()) != 1 || len(p.Replicas()) != 1 || p.Leader() == nil || p.ID() != 0 {
			t.Errorf("partition: %+v", p)
		}
		if first, last := p.MessagesReceivedTimestamps().FirstTime(), p.MessagesReceivedTimestamps().LatestTime(); first.IsZero() || last.Before(first) {
			t.Errorf("messages from %v to %v", first, last)
		}
		if p, err = c.FetchPartitionMetadata(ctx, "s", 1); err != nil || p.HighWatermark() != -1 || p.NewestOffset() != -1 ||
			!p.MessagesReceivedTimestamps().FirstTime().IsZero() {
			t.Errorf("empty partition: %+v, %v", p, err)
		}
	})
}

// A partition that pauses by itself is shown so, and the next message ends it, from wherever it comes.
func TestAutoPause(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.AutoPauseTime(200*time.Millisecond))
	publish(t, ctx, c, "s", "0")
	pauses(t, ctx, c, "s")
	t.Run("a plain message ends it", func(t *testing.T) {
		nc := b.plain()
		if err := errors.Join(nc.Publish("s", []byte("plain")), nc.Flush()); err != nil {
			t.Fatal(err)
		}
		r := subscribe(t, c, "s", lift.StartAtEarliestReceived())
		r.expect("0", "plain")
		publish(t, ctx, c, "s", "1")
		r.expect("1")
	})
	pauses(t, ctx, c, "s")
	t.Run("a publish ends it", func(t *testing.T) {
		publish(t, ctx, c, "s", "2")
		subscribe(t, c, "s", lift.StartAtLatestReceived()).expect("2")
	})
}

// pauses waits until the partition is shown as paused.
func pauses(t *testing.T, ctx context.Context, c lift.Client, stream string) {
	t.Helper()
	for {
		metadata, err := c.FetchMetadata(ctx)
		if err != nil {
			t.Fatalf("%s does not pause: %v", stream, err)
		}
		if metadata.GetStream(stream).GetPartition(0).Paused() {
			return
		}
	}
}
