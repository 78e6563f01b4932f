package codec_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// decodedBatches are stored batches as generated code sees them.
func decodedBatches(t testing.TB, run []byte) []*trestlev1.Batch {
	t.Helper()
	var batches trestlev1.Batches
	if err := proto.Unmarshal(run, &batches); err != nil {
		t.Fatalf("generated code refuses stored batches: %v", err)
	}
	return batches.Batches
}

func TestSubscribeResponseIsTheGeneratedMessage(t *testing.T) {
	t.Parallel()
	for seed := range 300 {
		s := newSource(seed)
		hand := &codec.SubscribeResponse{
			Batches:       join(s.batches(s.IntN(4))...),
			HighWatermark: int64(s.number()),
			LogStart:      int64(s.number()),
			Messages:      s.messages(),
		}
		if len(hand.Batches) == 0 {
			hand.Batches = nil
		}
		generated := &trestlev1.SubscribeResponse{
			Batches:       decodedBatches(t, hand.Batches),
			HighWatermark: hand.HighWatermark,
			LogStart:      hand.LogStart,
			Messages:      hand.Messages,
		}
		wire := marshal(t, hand)
		var decoded trestlev1.SubscribeResponse
		if err := proto.Unmarshal(wire, &decoded); err != nil {
			t.Fatalf("seed %d: generated code refuses it: %v", seed, err)
		}
		if !proto.Equal(generated, &decoded) {
			t.Fatalf("seed %d: generated code reads\n%v\nwant\n%v", seed, &decoded, generated)
		}
		got := &codec.SubscribeResponse{Batches: []byte{1}, LogStart: 1, Messages: []*trestlev1.Message{{}}}
		if err := unmarshal(wire, got); err != nil {
			t.Fatalf("seed %d: Unmarshal: %v", seed, err)
		}
		if diff := cmp.Diff(hand, got, protocmp.Transform()); diff != "" {
			t.Fatalf("seed %d: Unmarshal (-want +got):\n%s", seed, diff)
		}
		generated.Batches = nil
		hand.Batches = nil
		if got, want := marshal(t, hand), encode(t, generated); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: Marshal without batches gives\n%x\ngenerated code\n%x", seed, got, want)
		}
	}
}

// TestSubscribeResponseRestoresBatches takes responses apart and puts them together as others may. The batches must
// come out as they were stored.
func TestSubscribeResponseRestoresBatches(t *testing.T) {
	t.Parallel()
	batches := newSource(1).batches(6)
	batches = append(batches, batch.AppendControl(nil, &batch.Control{}))
	watermark := protowire.AppendVarint([]byte{0x10}, 300)
	message := protowire.AppendBytes([]byte{0x22}, encode(t, &trestlev1.Message{Offset: 5}))
	each := func(f func([]byte) []byte) []byte {
		var b []byte
		for _, element := range batches {
			b = append(b, f(element)...)
		}
		return b
	}
	mixed := 0
	for name, wire := range map[string][]byte{
		"as stored":         join(batches...),
		"after the numbers": join(watermark, join(batches...), message),
		"interleaved": each(func(b []byte) []byte {
			return join(b, watermark, message)
		}),
		"shortest lengths": each(shortest),
		"longest lengths":  each(longest),
		"padded tags": each(func(b []byte) []byte {
			return join([]byte{batch.Tag | 0x80, 0x80, 0}, b[1:])
		}),
		"longest tags": each(func(b []byte) []byte {
			return join([]byte{batch.Tag | 0x80, 0x80, 0x80, 0x80, 0}, b[1:])
		}),
		"every other length": each(func(b []byte) []byte {
			if mixed++; mixed%2 == 0 {
				return shortest(b)
			}
			return b
		}),
		"first of another form": join(shortest(batches[0]), join(batches[1:]...)),
		"last of another form":  join(join(batches[:6]...), shortest(batches[6])),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got codec.SubscribeResponse
			if err := unmarshal(wire, &got); err != nil {
				t.Fatalf("Unmarshal: %v", err)
			}
			if !bytes.Equal(got.Batches, join(batches...)) {
				t.Fatal("batches are not what was stored")
			}
			for i, element := range elements(t, got.Batches) {
				if _, err := batch.Parse(element); err != nil {
					t.Errorf("batch %d: %v", i, err)
				}
			}
			var generated trestlev1.SubscribeResponse
			if err := proto.Unmarshal(wire, &generated); err != nil {
				t.Fatalf("generated code: %v", err)
			}
			if got.HighWatermark != generated.HighWatermark || len(got.Messages) != len(generated.Messages) {
				t.Errorf("got %d, %d messages; generated code reads %v", got.HighWatermark, len(got.Messages), &generated)
			}
		})
	}
}

// TestSubscribeResponseEncodedAnew shows what becomes of batches whose inside was not left alone: they are handed on
// and fail their CRCs.
func TestSubscribeResponseEncodedAnew(t *testing.T) {
	t.Parallel()
	run := join(newSource(1).batches(4)...)
	wire := encode(t, &trestlev1.SubscribeResponse{Batches: decodedBatches(t, run)})
	var got codec.SubscribeResponse
	if err := unmarshal(wire, &got); err != nil {
		t.Fatal(err)
	}
	all := elements(t, got.Batches)
	if len(all) != 4 {
		t.Fatalf("got %d batches, want 4", len(all))
	}
	for i, element := range all {
		if _, err := batch.Parse(element); err == nil {
			t.Errorf("batch %d was encoded anew and passes its CRCs", i)
		}
	}
}

func TestSubscribeResponseRefused(t *testing.T) {
	t.Parallel()
	stored := newSource(1).batches(1)[0]
	for name, test := range map[string]struct {
		wire []byte
		want string
	}{
		"batch cut short":         {stored[:len(stored)-1], "byte 0"},
		"second batch cut short":  {join(stored, stored[:20]), "byte "},
		"length of 2^63":          {[]byte{0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, "byte 0"},
		"message of wrong form":   {[]byte{0x22, 1, 0x08}, "field 4 at byte 0"},
		"field number 0":          {[]byte{0x02, 0}, "field number"},
		"group without beginning": {[]byte{0x0c}, "byte 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := proto.Unmarshal(test.wire, new(trestlev1.SubscribeResponse)); err == nil {
				t.Error("generated code takes it")
			}
			err := unmarshal(test.wire, new(codec.SubscribeResponse))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "subscribe response") {
				t.Errorf("Unmarshal: got error %v, want one of a subscribe response with %q", err, test.want)
			}
		})
	}
}

// TestSubscribeResponseMessagesLikeGeneratedCode covers what only an odd server would send.
func TestSubscribeResponseMessagesLikeGeneratedCode(t *testing.T) {
	t.Parallel()
	response := &codec.SubscribeResponse{Messages: []*trestlev1.Message{nil, {Offset: 1}, {}}}
	generated := &trestlev1.SubscribeResponse{Messages: slices.Clone(response.Messages)}
	if got, want := marshal(t, response), encode(t, generated); !bytes.Equal(got, want) {
		t.Errorf("Marshal gives %x, generated code %x", got, want)
	}
}
