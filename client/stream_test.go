package client_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/client"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// everySetting has a value other than zero in every field.
func everySetting() client.StreamConfig {
	return client.StreamConfig{
		Name: "orders", Subjects: []string{"orders.>", "returns.*"}, Partitions: 4, Replicas: 3, MinISR: 2,
		RetainAge: 36 * time.Hour, RetainBytes: 1 << 40, RetainMessages: 1_000_000,
		SegmentBytes: 64 << 20, SegmentAge: time.Hour,
		Sync: client.SyncInterval, SyncInterval: 100 * time.Millisecond, Storage: client.StorageDisk, KeyHash: client.KeyHashCRC32,
		DedupWindow: 2 * time.Minute, MaxMessageBytes: 8 << 20, QueueGroup: "workers", Fanout: true, Reply: client.ReplyPuback,
		Compact: true, RequireExpectedOffset: true, Compression: client.CompressionZstd,
		Labels: map[string]string{"team": "shop"}, PartitionBy: client.PartitionRule{Token: 2},
	}
}

func everySettingOnTheWire() *trestlev1.StreamConfig {
	return &trestlev1.StreamConfig{
		Name: "orders", Subjects: []string{"orders.>", "returns.*"},
		Partitions: proto.Int32(4), Replicas: proto.Int32(3), MinIsr: proto.Int32(2),
		RetainAge: durationpb.New(36 * time.Hour), RetainBytes: proto.Int64(1 << 40), RetainMessages: proto.Int64(1_000_000),
		SegmentBytes: proto.Int64(64 << 20), SegmentAge: durationpb.New(time.Hour),
		Sync: trestlev1.Sync_SYNC_INTERVAL, SyncInterval: durationpb.New(100 * time.Millisecond),
		Storage: trestlev1.Storage_STORAGE_DISK, KeyHash: trestlev1.KeyHash_KEY_HASH_CRC32,
		DedupWindow: durationpb.New(2 * time.Minute), MaxMessageBytes: proto.Int64(8 << 20), QueueGroup: "workers",
		Fanout: proto.Bool(true), Reply: trestlev1.Reply_REPLY_PUBACK, Compact: proto.Bool(true),
		RequireExpectedOffset: proto.Bool(true), Compression: trestlev1.Codec_CODEC_ZSTD,
		Labels:      map[string]string{"team": "shop"},
		PartitionBy: &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Token{Token: 2}},
	}
}

func TestEverySettingIsTested(t *testing.T) {
	t.Parallel()
	sample := reflect.ValueOf(everySetting())
	for i := range sample.NumField() {
		if sample.Field(i).IsZero() {
			t.Errorf("StreamConfig.%s is zero in the sample", sample.Type().Field(i).Name)
		}
	}
}

func TestCreateStreamSendsTheConfiguration(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cfg  client.StreamConfig
		want *trestlev1.StreamConfig
	}{
		{"every setting", everySetting(), everySettingOnTheWire()},
		{
			"zero is left to the server",
			client.StreamConfig{Name: "a", Subjects: []string{"b"}},
			&trestlev1.StreamConfig{Name: "a", Subjects: []string{"b"}},
		},
		{
			"None is 0",
			client.StreamConfig{
				Name: "a", RetainAge: client.None, RetainBytes: client.None, RetainMessages: client.None,
				SegmentAge: client.None, DedupWindow: client.None,
			},
			&trestlev1.StreamConfig{
				Name: "a", RetainAge: durationpb.New(0), RetainBytes: proto.Int64(0), RetainMessages: proto.Int64(0),
				SegmentAge: durationpb.New(0), DedupWindow: durationpb.New(0),
			},
		},
		{
			"partition by the whole subject",
			client.StreamConfig{Name: "a", PartitionBy: client.PartitionRule{Subject: true}},
			&trestlev1.StreamConfig{Name: "a", PartitionBy: &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Subject{Subject: true}}},
		},
		{
			"partition by a header",
			client.StreamConfig{Name: "a", PartitionBy: client.PartitionRule{Header: "Customer"}},
			&trestlev1.StreamConfig{Name: "a", PartitionBy: &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Header{Header: "Customer"}}},
		},
	}
	server := newFakeServer("orders", 1)
	c := connect(t, server.listen(t).addr)
	for _, test := range tests {
		server.with(func() { server.created = nil })
		s, err := c.CreateStream(within(t), test.cfg)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if s.Name() != test.cfg.Name {
			t.Errorf("%s: the handle is named %q, want %q", test.name, s.Name(), test.cfg.Name)
		}
		want := []*trestlev1.CreateStreamRequest{{Config: test.want}}
		if diff := cmp.Diff(want, server.created, protocmp.Transform()); diff != "" {
			t.Errorf("%s: what was sent differs from what was wanted (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestCreateStreamRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cfg  client.StreamConfig
		says string
	}{
		{client.StreamConfig{Partitions: -1}, "Partitions is -1"},
		{client.StreamConfig{Replicas: client.None}, "Replicas is -1"},
		{client.StreamConfig{RetainBytes: -2}, "RetainBytes is -2"},
		{client.StreamConfig{RetainAge: -time.Hour}, "RetainAge is -3600000000000"},
		{client.StreamConfig{Sync: "sometimes"}, `Sync is "sometimes"`},
		{client.StreamConfig{Storage: "unspecified"}, `Storage is "unspecified"`},
		{client.StreamConfig{PartitionBy: client.PartitionRule{Token: -1}}, "token -1"},
		{client.StreamConfig{PartitionBy: client.PartitionRule{Token: 1, Header: "A"}}, "several things"},
	}
	server := newFakeServer("orders", 1)
	c := connect(t, server.listen(t).addr)
	for _, test := range tests {
		test.cfg.Name = "a"
		_, err := c.CreateStream(within(t), test.cfg)
		if !errors.Is(err, client.ErrInvalidArgument) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: got %v, want an invalid argument that says %q", test.cfg, err, test.says)
		}
	}
	if len(server.created) != 0 {
		t.Errorf("%d requests were sent, want none", len(server.created))
	}
}

func TestEnsureStreamSaysHowAStreamDiffers(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	c := connect(t, server.listen(t).addr)
	if _, err := c.EnsureStream(within(t), client.StreamConfig{Name: "orders"}); err != nil {
		t.Errorf("a stream that is alike: %v", err)
	}
	if !server.created[0].GetAcceptExisting() {
		t.Error("an existing stream is not accepted")
	}

	server.refuse = answer(codes.AlreadyExists, "STREAM_EXISTS", "stream exists", map[string]string{
		"stream": "orders", "subjects": "have [a.> b], want [c]", "partitions": "have 1, want 4",
	})
	_, err := c.EnsureStream(within(t), client.StreamConfig{Name: "orders"})
	var diff *client.ConfigDiffError
	if !errors.As(err, &diff) || !errors.Is(err, client.ErrStreamExists) {
		t.Fatalf("got %v, want a ConfigDiffError that is ErrStreamExists", err)
	}
	want := []client.ConfigDifference{
		{Field: "partitions", Have: "1", Want: "4"},
		{Field: "subjects", Have: "[a.> b]", Want: "[c]"},
	}
	if d := cmp.Diff(want, diff.Differences); d != "" {
		t.Errorf("differences (-want +got):\n%s", d)
	}
	if text := err.Error(); !strings.Contains(text, "partitions is 1, not 4") || !strings.Contains(text, `"orders"`) {
		t.Errorf("error %q does not say what differs", text)
	}

	_, err = c.CreateStream(within(t), client.StreamConfig{Name: "orders"})
	if !errors.Is(err, client.ErrStreamExists) || errors.As(err, &diff) {
		t.Errorf("CreateStream: got %v, want ErrStreamExists and no more", err)
	}
	server.refuse = answer(codes.PermissionDenied, "NOT_ALLOWED", "you may not", nil)
	if _, err = c.EnsureStream(within(t), client.StreamConfig{Name: "orders"}); errors.As(err, &diff) || err.Error() != "you may not" {
		t.Errorf("another error: got %v, want it as it is", err)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	server.streams[0] = &trestlev1.StreamState{
		Config: everySettingOnTheWire(), Uuid: "0b6d", Revision: 7,
		Partitions: []*trestlev1.PartitionState{{
			Id: 3, Leader: "a", Replicas: []string{"a", "b"}, Isr: []string{"a"}, LeaderEpoch: 9, Mode: trestlev1.Mode_MODE_READ_ONLY,
			LogStart: 10, NextOffset: 20, HighWatermark: 19, DurableOffset: 18, Messages: 8, Bytes: 4096, Gaps: 2,
			LastGap: &trestlev1.Gap{
				Cause: trestlev1.GapCause_GAP_CAUSE_NATS_DROPPED, FromTime: 1_000_000_001, ToTime: 2_000_000_002, AtLeast: proto.Uint64(5),
			},
			MessagesPerSecond: 1.5, BytesPerSecond: 2.5, Fault: "disk",
		}, {Id: 4, Mode: 99}},
	}
	c := connect(t, server.listen(t).addr)
	got, err := c.Stream("orders").Info(within(t))
	if err != nil {
		t.Fatal(err)
	}
	want := client.StreamInfo{
		Config: everySetting(), UUID: "0b6d", Revision: 7,
		Partitions: []client.PartitionInfo{{
			ID: 3, Leader: "a", Replicas: []string{"a", "b"}, ISR: []string{"a"}, LeaderEpoch: 9, Mode: client.ModeReadOnly,
			LogStart: 10, NextOffset: 20, HighWatermark: 19, DurableOffset: 18, Messages: 8, Bytes: 4096, Gaps: 2,
			LastGap: &client.Gap{
				Offset: -1, Cause: client.GapNATSDropped, From: time.Unix(1, 1), To: time.Unix(2, 2), AtLeast: 5,
			},
			MessagesPerSecond: 1.5, BytesPerSecond: 2.5, Fault: "disk",
		}, {ID: 4, Mode: "99"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}

	server.with(func() {
		server.streams[0].Config = &trestlev1.StreamConfig{Name: "orders", RetainBytes: proto.Int64(0), RetainAge: durationpb.New(0)}
	})
	got, err = c.Stream("orders").Info(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if cfg := got.Config; cfg.RetainBytes != client.None || cfg.RetainAge != client.None || cfg.RetainMessages != 0 {
		t.Errorf("limits of none came as %+v", cfg)
	}
}

func TestStreamsGoesThroughAllPages(t *testing.T) {
	t.Parallel()
	server := newFakeServer("s0", 0)
	for i := 1; i < 8; i++ {
		server.streams = append(server.streams, &trestlev1.StreamState{Config: &trestlev1.StreamConfig{Name: fmt.Sprintf("s%d", i)}})
	}
	c := connect(t, server.listen(t).addr)
	names := func(most int) (names []string, err error) {
		for info, err := range c.Streams(within(t), "s*") {
			if err != nil {
				return names, err
			}
			if names = append(names, info.Config.Name); len(names) == most {
				break
			}
		}
		return names, nil
	}
	all, err := names(100)
	if want := []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"}; err != nil || !cmp.Equal(all, want) {
		t.Errorf("got %v (%v), want %v", all, err, want)
	}
	if two, err := names(2); err != nil || len(two) != 2 {
		t.Errorf("a loop that ends early: got %v (%v)", two, err)
	}
	server.with(func() { server.refuse = answer(codes.Unavailable, "SHUTTING_DOWN", "going down", nil) })
	if three, err := names(100); !errors.Is(err, client.ErrUnavailable) || len(three) != 3 {
		t.Errorf("an error on the second page: got %v (%v), want 3 streams and ErrUnavailable", three, err)
	}
}

func ExampleConfigDiffError() {
	err := &client.ConfigDiffError{Stream: "orders", Differences: []client.ConfigDifference{{Field: "partitions", Have: "1", Want: "4"}}}
	fmt.Println(err)
	// Output: stream "orders" exists and differs: partitions is 1, not 4; ask for what it has, change it, or choose another name
}
