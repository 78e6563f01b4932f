package codec_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// butFrame leaves out what a request only has when it was received.
var butFrame = cmpopts.IgnoreFields(codec.PublishRequest{}, "Framed")

// Received records lie behind the room that makes a batch of them: nothing else of the request is in it, wherever they stand
// in the message, and nothing of it is copied.
func TestReceivedRecordsAreFramed(t *testing.T) {
	t.Parallel()
	for seed := range 500 {
		want := byHand(t, newSource(seed).publishRequest())
		if want.Records == nil {
			continue
		}
		alone, inStream := new(codec.PublishRequest), new(codec.PublishStreamRequest)
		if err := unmarshal(marshal(t, want), alone); err != nil {
			t.Fatal(err)
		}
		if err := unmarshal(marshal(t, &codec.PublishStreamRequest{ID: 1 << 40, Batch: want}), inStream); err != nil {
			t.Fatal(err)
		}
		for _, got := range []*codec.PublishRequest{alone, inStream.Batch} {
			if len(got.Framed) != batch.HeaderSize+len(want.Records) || cap(got.Framed) != len(got.Framed) {
				t.Fatalf("seed %d: %d bytes for %d of records and a header", seed, len(got.Framed), len(want.Records))
			}
			batch.Frame(got.Framed, &batch.Header{RecordCount: 1, Body: batch.BodyRecords})
			if diff := cmp.Diff(want, got, butFrame); diff != "" {
				t.Fatalf("seed %d: with a header written (-want +got):\n%s", seed, diff)
			}
			if len(got.Records) > 0 && &got.Records[0] != &got.Framed[batch.HeaderSize] {
				t.Fatalf("seed %d: the frame has a copy of the records", seed)
			}
			if made := batch.Append(nil, &batch.Header{RecordCount: 1, Body: batch.BodyRecords}, want.Records); !bytes.Equal(made, got.Framed) {
				t.Fatalf("seed %d: Frame makes\n%x\nAppend\n%x", seed, got.Framed, made)
			}
		}
	}
}

// A message that is large for other reasons than its records is not kept for their sake: nobody has counted it.
func TestRecordsOfAPaddedMessageAreNotFramed(t *testing.T) {
	t.Parallel()
	request := &codec.PublishRequest{Stream: "s", Records: []byte{0x0a, 0}}
	padding := protowire.AppendBytes([]byte{0x0a}, bytes.Repeat([]byte{'s'}, 2<<10))
	for _, wire := range [][]byte{append(padding, marshal(t, request)...), append(marshal(t, request), padding...)} {
		got := new(codec.PublishStreamRequest)
		if err := unmarshal(protowire.AppendBytes([]byte{0x12}, wire), got); err != nil {
			t.Fatal(err)
		}
		if got.Batch.Framed != nil || !bytes.Equal(got.Batch.Records, request.Records) {
			t.Errorf("%d bytes are kept for %d", cap(got.Batch.Framed), len(request.Records))
		}
	}
}

func TestPublishRequestIsTheGeneratedMessage(t *testing.T) {
	t.Parallel()
	for seed := range 500 {
		generated := newSource(seed).publishRequest()
		hand := byHand(t, generated)
		wire := encode(t, generated)
		if got := marshal(t, hand); !bytes.Equal(got, wire) {
			t.Fatalf("seed %d: Marshal gives\n%x\ngenerated code\n%x", seed, got, wire)
		}
		got := &codec.PublishRequest{Stream: "left from before", Records: []byte{1}}
		if err := unmarshal(wire, got); err != nil {
			t.Fatalf("seed %d: Unmarshal: %v", seed, err)
		}
		if diff := cmp.Diff(hand, got, butFrame); diff != "" {
			t.Fatalf("seed %d: Unmarshal (-want +got):\n%s", seed, diff)
		}
		if cap(got.Records) != len(got.Records) {
			t.Fatalf("seed %d: records have room for the bytes after them", seed)
		}
	}
}

func TestPublishRequestNumbers(t *testing.T) {
	t.Parallel()
	for _, v := range []uint64{0, 1, 127, 128, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64} {
		generated := &trestlev1.PublishRequest{
			Partition:          proto.Int32(int32(v)),
			Ack:                trestlev1.AckPolicy(v),
			ExpectedNextOffset: proto.Int64(int64(v)),
			ProducerId:         v,
			ProducerSequence:   uint32(v),
			ProducerEpoch:      uint32(v),
			RecordsCrc:         proto.Uint32(uint32(v)),
			Partitions:         uint32(v),
		}
		hand, wire := byHand(t, generated), encode(t, generated)
		if got := marshal(t, hand); !bytes.Equal(got, wire) {
			t.Errorf("%d: Marshal gives %x, generated code %x", v, got, wire)
		}
		var got codec.PublishRequest
		if err := unmarshal(wire, &got); err != nil {
			t.Fatalf("%d: %v", v, err)
		}
		if diff := cmp.Diff(hand, &got, butFrame); diff != "" {
			t.Errorf("%d: Unmarshal (-want +got):\n%s", v, diff)
		}
	}
}

func TestPublishRequestAbsentAndEmptyRecords(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		generated *trestlev1.PublishRequest
		records   []byte
	}{
		"absent": {&trestlev1.PublishRequest{}, nil},
		"empty":  {&trestlev1.PublishRequest{Records: &trestlev1.Records{}}, []byte{}},
	} {
		var got codec.PublishRequest
		if err := unmarshal(encode(t, test.generated), &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(codec.PublishRequest{Records: test.records}, got, butFrame); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
		if wire := marshal(t, &got); !bytes.Equal(wire, encode(t, test.generated)) {
			t.Errorf("%s: Marshal gives %x", name, wire)
		}
	}
}

// TestPublishRequestUnusualWire gives to both decoders what no encoder of ours writes. They must agree.
func TestPublishRequestUnusualWire(t *testing.T) {
	t.Parallel()
	stream := protowire.AppendString([]byte{0x0a}, "orders")
	one := encode(t, &trestlev1.Records{Records: []*trestlev1.Record{{Value: []byte("one")}}, Subject: []byte("a")})
	two := encode(t, &trestlev1.Records{Records: []*trestlev1.Record{{Value: []byte("two")}}, Subject: []byte("b")})
	records := func(b []byte) []byte { return protowire.AppendBytes([]byte{0x1a}, b) }
	for name, wire := range map[string][]byte{
		"fields in reverse":         join(records(one), []byte{0x10, 3}, stream),
		"last of a field":           join(stream, []byte{0x10, 3, 0x10, 4}, protowire.AppendString([]byte{0x0a}, "x")),
		"records in two pieces":     join(records(one), stream, records(two)),
		"records in empty pieces":   join(records(nil), records(one), records(nil), records(two)),
		"unknown fields":            join(stream, []byte{0x78, 1, 0x7a, 2, 'x', 'y', 0x7d, 1, 2, 3, 4}, records(one)),
		"unknown group":             join([]byte{0x7b, 0x08, 1, 0x7c}, stream),
		"unexpected wire types":     join([]byte{0x08, 1, 0x12, 1, 'x', 0x18, 1, 0x45, 1, 2, 3, 4}, stream),
		"padded tag and length":     join([]byte{0x8a, 0x80, 0}, []byte{0x81, 0}, []byte("s")),
		"partition of ten bytes":    {0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"sequence beyond 32 bits":   {0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"unknown policy":            {0x20, 99},
		"nothing":                   {},
		"highest number of a field": protowire.AppendVarint(protowire.AppendTag(nil, protowire.MaxValidNumber, 0), 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var generated trestlev1.PublishRequest
			if err := proto.Unmarshal(wire, &generated); err != nil {
				t.Fatalf("generated code refuses it: %v", err)
			}
			var got codec.PublishRequest
			if err := unmarshal(wire, &got); err != nil {
				t.Fatalf("Unmarshal: %v", err)
			}
			checkPublishRequest(t, &generated, &got)
		})
	}
}

// checkPublishRequest compares all that both kinds of message hold.
func checkPublishRequest(t *testing.T, generated *trestlev1.PublishRequest, hand *codec.PublishRequest) {
	t.Helper()
	decoded := *hand
	decoded.Records = nil
	flat := proto.CloneOf(generated)
	flat.Records = nil
	if diff := cmp.Diff(byHand(t, flat), &decoded, butFrame); diff != "" {
		t.Errorf("(-generated +hand):\n%s", diff)
	}
	var records *trestlev1.Records
	if hand.Records != nil {
		records = new(trestlev1.Records)
		if err := proto.Unmarshal(hand.Records, records); err != nil {
			t.Fatalf("records: %v", err)
		}
	}
	if diff := cmp.Diff(generated.Records, records, protocmp.Transform()); diff != "" {
		t.Errorf("records (-generated +hand):\n%s", diff)
	}
}

func TestPublishRequestRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		wire []byte
		want string
	}{
		"cut in a tag":               {[]byte{0x8a}, "byte 0"},
		"cut in a length":            {[]byte{0x0a, 0x80}, "byte 0"},
		"cut in a field":             {[]byte{0x10, 1, 0x0a, 3, 'a'}, "byte 2"},
		"length of 2^63":             {[]byte{0x1a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, "byte 0"},
		"length of 2^31":             {[]byte{0x1a, 0x80, 0x80, 0x80, 0x80, 0x08, 'x'}, "byte 0"},
		"varint too long":            {[]byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, "byte 0"},
		"field 0":                    {[]byte{0x00, 1}, "field number"},
		"field number 2^29":          {protowire.AppendVarint(nil, 1<<32), "field number"},
		"reserved wire type":         {[]byte{0x0e, 1}, "reserved"},
		"group without beginning":    {[]byte{0x7c}, "byte 0"},
		"group without end":          {[]byte{0x7b, 0x08, 1}, "byte 0"},
		"stream not UTF-8":           {[]byte{0x0a, 2, 0xff, 'a'}, "field 1 at byte 0: stream is not valid UTF-8"},
		"any stream not UTF-8":       {[]byte{0x0a, 1, 0xff, 0x0a, 1, 'a'}, "UTF-8"},
		"record in halves":           {[]byte{0x1a, 2, 0x0a, 1, 0x1a, 1, 'x'}, "first piece"},
		"third piece no field":       {[]byte{0x1a, 0, 0x1a, 0, 0x1a, 1, 0x0a}, "piece 3"},
		"records cut off in a piece": {[]byte{0x1a, 0, 0x1a, 3, 0x0a, 4, 'x'}, "piece 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := proto.Unmarshal(test.wire, new(trestlev1.PublishRequest)); err == nil {
				t.Error("generated code takes it")
			}
			err := unmarshal(test.wire, new(codec.PublishRequest))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "publish request") {
				t.Errorf("Unmarshal: got error %v, want one of a publish request with %q", err, test.want)
			}
		})
	}
}

func TestPublishRequestStreamToSend(t *testing.T) {
	t.Parallel()
	_, err := codec.New().Marshal(&codec.PublishRequest{Stream: "a\xff"})
	if err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("Marshal of a stream that is not UTF-8: got error %v", err)
	}
}

// TestPublishRequestManyPieces would take hours if each piece cost as much as those before it.
func TestPublishRequestManyPieces(t *testing.T) {
	t.Parallel()
	piece := encode(t, &trestlev1.Records{Records: []*trestlev1.Record{{}}})
	const pieces = 1 << 20
	wire := bytes.Repeat(protowire.AppendBytes([]byte{0x1a}, piece), pieces)
	var got codec.PublishRequest
	if err := unmarshal(wire, &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Records, bytes.Repeat(piece, pieces)) {
		t.Error("records are not the pieces one behind the other")
	}
}
