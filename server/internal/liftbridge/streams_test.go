package liftbridge_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

type createStream = liftbridgepb.CreateStreamRequest

func int64Of(n int64) *liftbridgepb.NullableInt64 { return &liftbridgepb.NullableInt64{Value: n} }

// The settings that a stream gets: 168 h of retention and fan-out unless asked otherwise (protocol.md 1.14, 2.1), and messages
// that a client receives who has gRPC's limit of 4 MiB.
func TestStreamSettings(t *testing.T) {
	t.Parallel()
	k := start(t)
	for name, test := range map[string]struct {
		change func(*createStream)
		has    func(*trestlev1.StreamConfig) bool
	}{
		"defaults": {func(*createStream) {}, func(c *trestlev1.StreamConfig) bool {
			return c.GetMaxMessageBytes() == 4<<20-64<<10 && c.GetRetainAge().AsDuration() == 168*time.Hour && c.GetFanout() && c.GetPartitions() == 1 && c.GetReplicas() == 1 && c.GetMinIsr() == 1 &&
				!c.GetCompact() && !c.GetRequireExpectedOffset() && c.GetRetainBytes() == 0 && c.GetRetainMessages() == 0
		}},
		"age":           {func(r *createStream) { r.RetentionMaxAge = int64Of(1500) }, func(c *trestlev1.StreamConfig) bool { return c.GetRetainAge().AsDuration() == 1500*time.Millisecond }},
		"no-age":        {func(r *createStream) { r.RetentionMaxAge = int64Of(0) }, func(c *trestlev1.StreamConfig) bool { return c.GetRetainAge().AsDuration() == 0 }},
		"bytes":         {func(r *createStream) { r.RetentionMaxBytes = int64Of(7) }, func(c *trestlev1.StreamConfig) bool { return c.GetRetainBytes() == 7 }},
		"messages":      {func(r *createStream) { r.RetentionMaxMessages = int64Of(8) }, func(c *trestlev1.StreamConfig) bool { return c.GetRetainMessages() == 8 }},
		"segment-bytes": {func(r *createStream) { r.SegmentMaxBytes = int64Of(1 << 20) }, func(c *trestlev1.StreamConfig) bool { return c.GetSegmentBytes() == 1<<20 }},
		"tiny-segment":  {func(r *createStream) { r.SegmentMaxBytes = int64Of(1) }, func(c *trestlev1.StreamConfig) bool { return c.GetSegmentBytes() == 16<<10 }},
		"huge-segment":  {func(r *createStream) { r.SegmentMaxBytes = int64Of(math.MaxInt64) }, func(c *trestlev1.StreamConfig) bool { return c.GetSegmentBytes() == 1<<30 }},
		"segment-age":   {func(r *createStream) { r.SegmentMaxAge = int64Of(5000) }, func(c *trestlev1.StreamConfig) bool { return c.GetSegmentAge().AsDuration() == 5*time.Second }},
		"compact":       {func(r *createStream) { r.CompactEnabled = &liftbridgepb.NullableBool{Value: true} }, (*trestlev1.StreamConfig).GetCompact},
		"group":         {func(r *createStream) { r.Group = "g" }, func(c *trestlev1.StreamConfig) bool { return c.GetQueueGroup() == "g" }},
		"replicas":      {func(r *createStream) { r.ReplicationFactor = -1 }, func(c *trestlev1.StreamConfig) bool { return c.GetReplicas() == 1 }},
	} {
		k.create(t, name, test.change)
		s, err := k.streams.Get(name)
		must(t, err)
		if !test.has(s.Config) {
			t.Errorf("%s: got %v", name, s.Config)
		}
	}
}

func TestStreamRefusals(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	for _, test := range []struct {
		req  *createStream
		code codes.Code
		text string
	}{
		{&createStream{Subject: "x"}, codes.InvalidArgument, "Name cannot be empty"},
		{&createStream{Name: "__activity", Subject: "x"}, codes.InvalidArgument, "Stream is reserved"},
		{&createStream{Name: "__cursors", Subject: "x"}, codes.InvalidArgument, "Stream is reserved"},
		{&createStream{Name: "x"}, codes.InvalidArgument, ""},
		{&createStream{Name: "x", Subject: "a b"}, codes.InvalidArgument, ""},
		{&createStream{Name: "../../x", Subject: "x"}, codes.InvalidArgument, ""},
		{&createStream{Name: "x", Subject: "x", ReplicationFactor: 3}, codes.InvalidArgument, "Invalid replicationFactor 3, cluster size 1"},
		{&createStream{Name: "x", Subject: "x", ReplicationFactor: -2}, codes.InvalidArgument, "Invalid replicationFactor -2, cluster size 1"},
		{&createStream{Name: "x", Subject: "x", Partitions: -1}, codes.InvalidArgument, "Invalid partitions -1; use 1 or more"},
		{&createStream{Name: "x", Subject: "x", Partitions: math.MaxInt32}, codes.InvalidArgument, ""},
		{&createStream{Name: "x", Subject: "x", RetentionMaxAge: int64Of(-1)}, codes.InvalidArgument, "Invalid retentionMaxAge -1; use 0 or more"},
		{&createStream{Name: "x", Subject: "x", RetentionMaxAge: int64Of(math.MaxInt64)}, codes.InvalidArgument, ""},
		{&createStream{Name: "x", Subject: "x", MinIsr: &liftbridgepb.NullableInt32{Value: 2}}, codes.InvalidArgument, ""},
		{&createStream{Name: "x", Subject: "x", Encryption: &liftbridgepb.NullableBool{Value: true}}, codes.FailedPrecondition, ""},
		{&createStream{Name: "s", Subject: "x"}, codes.AlreadyExists, ""},
	} {
		_, err := k.CreateStream(call(t), test.req)
		refused(t, test.req.String(), err, test.code, test.text)
	}
	_, err := k.DeleteStream(call(t), &liftbridgepb.DeleteStreamRequest{Name: "x"})
	refused(t, "delete", err, codes.NotFound, "stream does not exist")
	_, err = k.DeleteStream(call(t), &liftbridgepb.DeleteStreamRequest{Name: "__cursors"})
	refused(t, "delete", err, codes.InvalidArgument, "Stream is reserved")
	for _, name := range []string{"", "x"} {
		_, err = k.PauseStream(call(t), &liftbridgepb.PauseStreamRequest{Name: name})
		refused(t, "pause", err, codes.NotFound, "stream not found")
		_, err = k.SetStreamReadonly(call(t), &liftbridgepb.SetStreamReadonlyRequest{Name: name, Readonly: true})
		refused(t, "readonly", err, codes.NotFound, "stream not found")
	}
	_, err = k.PauseStream(call(t), &liftbridgepb.PauseStreamRequest{Name: "s", Partitions: []int32{0, 1}, ResumeAll: true})
	refused(t, "pause", err, codes.NotFound, "partition does not exist")
	if stream, err := k.streams.Get("s"); err != nil || len(stream.Config.GetLabels()) != 0 {
		t.Errorf("a pause that was refused left labels %v, %v", stream.Config.GetLabels(), err)
	}
}

// Pausing leaves what is read-only read-only, and a publish resumes what is paused: one partition, or all if they were paused
// so.
func TestModes(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(r *createStream) { r.Partitions = 3 })
	modes := func(want ...trestlev1.Mode) {
		t.Helper()
		s, err := k.streams.Describe("s")
		must(t, err)
		var got []trestlev1.Mode
		for _, p := range s.GetPartitions() {
			got = append(got, p.GetMode())
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	pause := func(all bool) {
		_, err := k.PauseStream(call(t), &liftbridgepb.PauseStreamRequest{Name: "s", ResumeAll: all})
		must(t, err)
	}
	readonly := func(on bool) {
		_, err := k.SetStreamReadonly(call(t), &liftbridgepb.SetStreamReadonlyRequest{Name: "s", Partitions: []int32{2, 2}, Readonly: on})
		must(t, err)
	}
	const active, paused, readOnly = trestlev1.Mode_MODE_ACTIVE, trestlev1.Mode_MODE_PAUSED, trestlev1.Mode_MODE_READ_ONLY
	readonly(true)
	pause(false)
	modes(paused, paused, readOnly)
	k.publish(t, "s", "x")
	modes(active, paused, readOnly)
	pause(true)
	modes(paused, paused, readOnly)
	k.publish(t, "s", "x")
	modes(active, active, readOnly)
	pause(false)
	readonly(false)
	modes(paused, paused, active)
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(r *createStream) { r.Partitions = 2; r.Subject = "s.*" })
	k.publish(t, "s", "0", "1")
	res, err := k.FetchMetadata(call(t), &liftbridgepb.FetchMetadataRequest{})
	must(t, err)
	names := map[string]*liftbridgepb.StreamMetadata{}
	for _, s := range res.GetStreamMetadata() {
		names[s.GetName()] = s
	}
	if b := res.GetBrokers(); len(b) != 1 || b[0].GetId() != "b" || b[0].GetHost() != "127.0.0.1" || b[0].GetPort() == 0 || b[0].GetPartitionCount() != 3 || b[0].GetLeaderCount() != 3 {
		t.Errorf("brokers: %v", b)
	}
	if c := names["__cursors"]; len(c.GetPartitions()) != 1 || c.GetPartitions()[0].GetLeader() != "b" {
		t.Errorf("__cursors: %v", c)
	}
	s := names["s"]
	if p := s.GetPartitions(); s.GetSubject() != "s.*" || s.GetCreationTimestamp() == 0 || len(p) != 2 || p[0].GetHighWatermark() != 1 || p[0].GetNewestOffset() != 1 ||
		p[1].GetHighWatermark() != -1 || p[1].GetNewestOffset() != -1 || !slices.Equal(p[1].GetIsr(), []string{"b"}) || p[1].GetId() != 1 {
		t.Errorf("s: %v", s)
	}
	res, err = k.FetchMetadata(call(t), &liftbridgepb.FetchMetadataRequest{Streams: []string{"x", "s"}, Groups: []string{"g"}})
	must(t, err)
	if all := res.GetStreamMetadata(); len(all) != 2 || all[0].GetError() != liftbridgepb.StreamMetadata_UNKNOWN_STREAM || all[1].GetError() != 0 ||
		res.GetGroupMetadata()[0].GetError() != liftbridgepb.ConsumerGroupMetadata_UNKNOWN_GROUP {
		t.Errorf("got %v", res)
	}
	_, err = k.FetchPartitionMetadata(call(t), &liftbridgepb.FetchPartitionMetadataRequest{Stream: "s", Partition: 2})
	refused(t, "partition 2", err, codes.NotFound, "partition not found")
	one, err := k.FetchPartitionMetadata(call(t), &liftbridgepb.FetchPartitionMetadataRequest{Stream: "s"})
	must(t, err)
	if at := one.GetMetadata().GetMessagesReceivedTimestamps(); at.GetFirstTimestamp() == 0 || at.GetLatestTimestamp() <= at.GetFirstTimestamp() {
		t.Errorf("messages were received at %v", at)
	}
}

// A cursor of Liftbridge names the last message that was read, one of ours the next to read.
func TestCursors(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s")
	fetch := func(id, stream string, want int64) {
		t.Helper()
		res, err := k.FetchCursor(call(t), &liftbridgepb.FetchCursorRequest{CursorId: id, Stream: stream})
		if err != nil || res.GetOffset() != want {
			t.Errorf("%s of %s: got %v, %v; want %d", id, stream, res, err, want)
		}
	}
	fetch("c", "s", -1)
	fetch("c", "x", -1)
	for _, n := range []int64{5, 0, -1, math.MaxInt64 - 1} {
		_, err := k.SetCursor(call(t), &liftbridgepb.SetCursorRequest{CursorId: "c", Stream: "s", Offset: n})
		must(t, err)
		fetch("c", "s", n)
	}
	for _, test := range []struct {
		req  *liftbridgepb.SetCursorRequest
		code codes.Code
		text string
	}{
		{&liftbridgepb.SetCursorRequest{CursorId: "c"}, codes.InvalidArgument, "No stream provided"},
		{&liftbridgepb.SetCursorRequest{Stream: "s"}, codes.InvalidArgument, "No cursorId provided"},
		{&liftbridgepb.SetCursorRequest{CursorId: "c", Stream: "x"}, codes.NotFound, "no such stream: x"},
		{&liftbridgepb.SetCursorRequest{CursorId: "c", Stream: "s", Partition: 1}, codes.NotFound, "no such partition: 1"},
		{&liftbridgepb.SetCursorRequest{CursorId: "c", Stream: "s", Offset: math.MaxInt64}, codes.InvalidArgument, ""},
		{&liftbridgepb.SetCursorRequest{CursorId: "c", Stream: "s", Offset: -2}, codes.InvalidArgument, ""},
	} {
		_, err := k.SetCursor(call(t), test.req)
		refused(t, test.req.String(), err, test.code, test.text)
	}
}
