package compat

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
)

// often makes a member ask for its assignments often, once only when it begins: then none of its requests is under way when it leaves
// after its first message.
var (
	often = lift.FetchAssignmentsInterval(func(time.Duration) time.Duration { return 300 * time.Millisecond })
	once  = lift.FetchAssignmentsInterval(func(time.Duration) time.Duration { return time.Hour })
)

// consumer is a member of a group and what came to it.
type consumer struct {
	*lift.Consumer
	*reader
}

func join(t *testing.T, b *broker, c lift.Client, id, stream string, asks lift.ConsumerOption) *consumer {
	t.Helper()
	_, ctx := b.connect()
	one, err := c.CreateConsumer("group", lift.ConsumerID(id), lift.AutoOffsetEarliest(), lift.AutoCheckpoint(20*time.Millisecond), asks)
	if err != nil {
		t.Fatal(err)
	}
	m := &consumer{one, &reader{t: t, got: make(chan received, 10_000)}}
	if err := one.Subscribe(ctx, []string{stream}, func(msg *lift.Message, err error) { m.got <- received{msg, err} }); err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return m
}

// Members share the partitions of their streams, and take over those of members that leave, from where these were.
func TestConsumerGroup(t *testing.T) {
	notShort(t)
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s", lift.Partitions(2))
	for i := range 2 {
		if _, err := c.Publish(ctx, "s", fmt.Append(nil, "p", i), lift.ToPartition(int32(i))); err != nil {
			t.Fatal(err)
		}
	}
	first := join(t, b, c, "first", "s", often)
	got := first.values(2)
	if slices.Sort(got); strings.Join(got, " ") != "p0 p1" {
		t.Fatalf("the only member got %q", got)
	}
	if err := first.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	second := join(t, b, c, "second", "s", often)
	both := map[string]string{}
	for i := 0; len(both) < 2; i++ { // until both have a partition
		for p := range int32(2) {
			if _, err := c.Publish(ctx, "s", fmt.Append(nil, i), lift.ToPartition(p)); err != nil {
				t.Fatal(err)
			}
		}
		for name, m := range map[string]*consumer{"first": first, "second": second} {
			select {
			case got := <-m.got:
				if got.err == nil && name == "second" {
					both[name] = fmt.Sprint(got.msg.Partition())
				} else if got.err == nil && both["second"] != "" && fmt.Sprint(got.msg.Partition()) != both["second"] {
					both[name] = fmt.Sprint(got.msg.Partition())
				}
			case <-time.After(20 * time.Millisecond):
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("the members got partitions %v", both)
		}
	}
	first.leave()
	ack, err := c.Publish(ctx, "s", []byte("end0"), lift.ToPartition(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Publish(ctx, "s", []byte("end1"), lift.ToPartition(1)); err != nil {
		t.Fatal(err)
	}
	for ends := 0; ends < 2; {
		if got := second.next(); got.err == nil && strings.HasPrefix(string(got.msg.Value()), "end") {
			ends++
		}
	}
	if err := second.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	if at, err := c.FetchCursor(ctx, "__group:group", "s", 0); err != nil || at != ack.Offset() {
		t.Errorf("the group is at %d, %v; want %d", at, err, ack.Offset())
	}
	second.leave()
}

// leave ends a member. The client never returns from Close if a request of its own for assignments fails meanwhile.
func (m *consumer) leave() {
	m.t.Helper()
	left := make(chan error, 1)
	go func() { left <- m.Close() }()
	select {
	case err := <-left:
		if err != nil {
			m.t.Error(err)
		}
	case <-time.After(patience):
		m.t.Error("the member does not end")
	}
}

// hears publishes to a partition until a message comes to the member from there.
func (m *consumer) hears(publish func(partition int32), partition int32) {
	m.t.Helper()
	for end := time.After(patience); ; {
		publish(partition)
		select {
		case got := <-m.got:
			if got.err == nil && got.msg.Partition() == partition && string(got.msg.Value()) == "late" {
				return
			}
		case <-time.After(50 * time.Millisecond):
		case <-end:
			m.t.Fatalf("nothing comes from partition %d", partition)
		}
	}
}

// A group outlives its broker: its members go on, and others join and leave.
func TestConsumerGroupRestart(t *testing.T) {
	notShort(t)
	b := start(t)
	c, ctx := b.connect(lift.ResubscribeWaitTime(patience))
	create(t, ctx, c, "s", lift.Partitions(2))
	publish(t, ctx, c, "s", "0")
	first := join(t, b, c, "first", "s", often)
	first.expect("0")
	if err := first.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	b.restart(syscall.SIGKILL)
	again, ctx := b.connect()
	late := func(partition int32) {
		if _, err := again.Publish(ctx, "s", []byte("late"), lift.ToPartition(partition)); err != nil {
			t.Fatal(err)
		}
	}
	first.hears(late, 0)
	second := join(t, b, again, "second", "s", often)
	second.hears(late, 1)
	second.leave()
	first.hears(late, 1)
	metadata, err := again.FetchMetadata(ctx, lift.ConsumerGroups([]string{"group"}))
	if err != nil || metadata.GetConsumerGroup("group").Epoch() == 0 || metadata.GetConsumerGroup("group").Coordinator() == "" {
		t.Errorf("metadata of the group: %v", err)
	}
	first.leave()
}

// What a member without a position begins with.
func TestAutoOffset(t *testing.T) {
	b := start(t)
	c, ctx := b.connect()
	create(t, ctx, c, "s")
	publish(t, ctx, c, "s", "0", "1")
	for name, option := range map[string]lift.ConsumerOption{"latest": lift.AutoOffsetLatest(), "none": lift.AutoOffsetNone()} {
		one, err := c.CreateConsumer(name, option, once)
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{t: t, got: make(chan received, 1000)}
		if err := one.Subscribe(ctx, []string{"s"}, func(m *lift.Message, err error) { r.got <- received{m, err} }); err != nil {
			t.Fatal(err)
		}
		if got := r.next(); name == "latest" && (got.err != nil || string(got.msg.Value()) != "1") || name == "none" && got.err == nil {
			t.Errorf("%s: %v, %v", name, got.msg, got.err)
		}
		(&consumer{one, r}).leave()
	}
	if one, err := c.CreateConsumer("g"); err != nil || one.Subscribe(ctx, []string{"nope"}, func(*lift.Message, error) {}) == nil {
		t.Errorf("a member that reads no stream: %v", err)
	}
}
