package compat

import (
	"errors"
	"reflect"
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
	if err := c.CreateStream(ctx, "other", "s"); !errors.Is(err, lift.ErrStreamExists) {
		t.Errorf("again: %v", err)
	}
	for what, err := range map[string]error{
		"InvalidArgument desc = Name cannot be empty":                            c.CreateStream(ctx, "s", ""),
		"InvalidArgument desc = Subject is invalid":                              c.CreateStream(ctx, "a b", "x"),
		"InvalidArgument desc = Stream is reserved":                              c.CreateStream(ctx, "x", "__cursors"),
		"InvalidArgument desc = Invalid replicationFactor 3, cluster size 1":     c.CreateStream(ctx, "x", "x", lift.ReplicationFactor(3)),
		"FailedPrecondition desc = Failed on preconditions for stream's encrypt": c.CreateStream(ctx, "x", "x", lift.Encryption(true)),
		"InvalidArgument":                  c.CreateStream(ctx, "x", "../../x"),
		"InvalidArgument desc = min_isr":   c.CreateStream(ctx, "x", "x", lift.MinISR(2)),
		"stream does not exist":            c.DeleteStream(ctx, "nope"),
		"stream partition does not exist":  c.PauseStream(ctx, "nope"),
		"stream partition does not exist ": c.SetStreamReadonly(ctx, "s", lift.ReadonlyPartitions(7)),
	} {
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(what)) {
			t.Errorf("got %v, want %s", err, what)
		}
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
		p, err := c.FetchPartitionMetadata(ctx, "s", partition)
		if err != nil {
			t.Fatal(err)
		}
		return p.Paused()
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
	// What is stored is delivered, and then the pause is told of.
	r = subscribe(t, c, "s", lift.StartAtEarliestReceived())
	r.expect("0")
	r.ends(lift.ErrPartitionPaused)
	r = subscribe(t, c, "s", lift.Resume())
	if paused(0) {
		t.Error("Resume did not resume")
	}
	publish(t, ctx, c, "s", "1")
	r.expect("1")
	for _, all := range []bool{false, true} {
		options := []lift.PauseOption{}
		if all {
			options = append(options, lift.ResumeAll())
		}
		if err := c.PauseStream(ctx, "s", options...); err != nil {
			t.Fatal(err)
		}
		publish(t, ctx, c, "s", "2")
		if paused(0) || paused(1) == all {
			t.Errorf("ResumeAll %v: after a publish to partition 0 they are paused: %v, %v", all, paused(0), paused(1))
		}
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
	if all := metadata.Brokers(); len(all) != 1 || all[0].Addr() != b.grpc || all[0].PartitionCount() < 3 || all[0].LeaderCount() < 3 {
		t.Errorf("brokers: %+v", all)
	}
	if n := metadata.PartitionCountForStream("s"); n != 2 {
		t.Errorf("%d partitions", n)
	}
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
}

// Options of the client itself make no difference to the broker.
func TestClientOptions(t *testing.T) {
	b := start(t)
	for name, option := range map[string]lift.ClientOption{
		"conns": lift.MaxConnsPerBroker(4), "keepalive": lift.KeepAliveTime(time.Second), "resubscribe": lift.ResubscribeWaitTime(time.Second),
		"ack": lift.AckWaitTime(time.Second), "read": lift.ReadBufferSize(1 << 16), "write": lift.WriteBufferSize(1 << 16),
		"latency": lift.SetConnectToLowLatencyServer(), "workload": lift.SetConnectToLowWorkloadServer(),
	} {
		c, ctx := b.connect(option)
		create(t, ctx, c, name)
		publish(t, ctx, c, name, "x")
	}
}

// The tests of this package call every method that the client has.
func TestEveryMethodIsDriven(t *testing.T) {
	driven := []string{
		"Close", "CreateConsumer", "CreateStream", "DeleteStream", "FetchCursor", "FetchMetadata", "FetchPartitionMetadata", "PauseStream",
		"Publish", "PublishAsync", "PublishToSubject", "SetCursor", "SetStreamReadonly", "Subscribe",
	}
	of := reflect.TypeFor[lift.Client]()
	for i := range of.NumMethod() {
		if name := of.Method(i).Name; !slices.Contains(driven, name) {
			t.Errorf("%s is not driven", name)
		}
	}
}
