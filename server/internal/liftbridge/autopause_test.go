package liftbridge_test

import (
	"testing"
	"time"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

// autoPausing makes a stream that pauses after an hour without a message.
func autoPausing(unlessSubscribed bool) func(*liftbridgepb.CreateStreamRequest) {
	return func(req *liftbridgepb.CreateStreamRequest) {
		req.AutoPauseTime = &liftbridgepb.NullableInt64{Value: time.Hour.Milliseconds()}
		req.AutoPauseDisableIfSubscribers = &liftbridgepb.NullableBool{Value: unlessSubscribed}
	}
}

// paused is what both calls that tell of it say.
func (k *kit) paused(t *testing.T, stream string) bool {
	t.Helper()
	all, err := k.FetchMetadata(call(t), &liftbridgepb.FetchMetadataRequest{Streams: []string{stream}})
	must(t, err)
	one, err := k.FetchPartitionMetadata(call(t), &liftbridgepb.FetchPartitionMetadataRequest{Stream: stream})
	must(t, err)
	p := all.GetStreamMetadata()[0].GetPartitions()[0]
	if p.GetPaused() != one.GetMetadata().GetPaused() || p.GetPaused() != (p.GetPauseTimestamps().GetLatestTimestamp() != 0) {
		t.Errorf("FetchMetadata says %v, FetchPartitionMetadata %v", p, one)
	}
	return p.GetPaused()
}

// A partition that hears nothing is shown as paused, and the next message, from wherever, is recorded and ends that
// (interfaces.md 3.12, protocol.md 2.10).
func TestAutoPause(t *testing.T) {
	k := start(t)
	k.create(t, "s", autoPausing(false))
	k.create(t, "never")
	for what, wake := range map[string]func(){
		"gRPC":  func() { k.publish(t, "s", "x") },
		"plain": func() { must(t, k.nats.Publish("s", []byte("x"))) },
	} {
		for name, step := range map[string]time.Duration{"early": 0, "late": time.Hour + time.Second} {
			k.clock.advance(step)
			if got, want := k.paused(t, "s"), name == "late"; step != 0 && got != want {
				t.Errorf("%s, %s: paused %v", what, name, got)
			}
		}
		before := k.next(t, "s")
		wake()
		for k.next(t, "s") == before { // a plain message is on its way
			if t.Context().Err() != nil {
				t.Fatalf("%s: nothing was recorded", what)
			}
		}
		k.clock.advance(-time.Hour - time.Second) // messages are stamped by the partition's own clock
		if k.paused(t, "s") {
			t.Errorf("%s: still paused", what)
		}
	}
	k.clock.advance(24 * time.Hour)
	if k.paused(t, "never") {
		t.Error("a stream that does not pause is paused")
	}
}

// next is the offset of the next message.
func (k *kit) next(t *testing.T, stream string) int64 {
	t.Helper()
	res, err := k.FetchPartitionMetadata(call(t), &liftbridgepb.FetchPartitionMetadataRequest{Stream: stream})
	must(t, err)
	return res.GetMetadata().GetHighWatermark() + 1
}

// A reader keeps a partition from pausing where the stream says so, and one that asks for a resume wakes it.
func TestAutoPauseAndReaders(t *testing.T) {
	k := start(t)
	for name, unless := range map[string]bool{"unless": true, "whoever": false} {
		k.create(t, name, autoPausing(unless))
		read, err := k.Subscribe(call(t), &liftbridgepb.SubscribeRequest{Stream: name})
		must(t, err)
		_, err = read.Recv()
		must(t, err)
		k.clock.advance(2 * time.Hour)
		if k.paused(t, name) == unless {
			t.Errorf("%s: paused %v", name, !unless)
		}
		k.publish(t, name, "x") // a reader stays and goes on with the next message
		if m, err := read.Recv(); err != nil || string(m.GetValue()) != "x" {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	read, err := k.Subscribe(call(t), &liftbridgepb.SubscribeRequest{Stream: "whoever", Resume: true})
	must(t, err)
	_, err = read.Recv()
	must(t, err)
	if k.paused(t, "whoever") {
		t.Error("a reader that resumes did not wake it")
	}
}
