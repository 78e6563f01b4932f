package codec_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/trestlehq/trestle/proto/codec"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// scribbler is a pool that spoils what is given back to it.
type scribbler struct{}

func (scribbler) Get(size int) *[]byte {
	b := make([]byte, size)
	return &b
}

func (scribbler) Put(b *[]byte) {
	for i := range *b {
		(*b)[i] = 0xee
	}
}

// pooled are b's bytes in buffers that are spoilt once they are freed.
func pooled(b []byte) mem.BufferSlice {
	var slice mem.BufferSlice
	for part := range slices.Chunk(b, 16<<10) {
		part = slices.Clone(part)
		slice = append(slice, mem.NewBuffer(&part, scribbler{}))
	}
	return slice
}

// oneMiB is a run of stored batches of 1 MiB.
func oneMiB() []byte {
	s := newSource(1)
	var run []byte
	for len(run) < 1<<20 {
		run = append(run, join(s.batches(100)...)...)
	}
	return run
}

func TestReceivedBytesOutliveTheirBuffers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		message any
		bytes   func(any) []byte
	}{
		"subscribe response": {
			&codec.SubscribeResponse{Batches: oneMiB()},
			func(m any) []byte { return m.(*codec.SubscribeResponse).Batches },
		},
		"publish request": {
			&codec.PublishRequest{Records: bytes.Repeat([]byte{0x0a, 0}, 1<<16)},
			func(m any) []byte { return m.(*codec.PublishRequest).Records },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := test.bytes(test.message)
			slice := pooled(marshal(t, test.message))
			if err := codec.New().Unmarshal(slice, test.message); err != nil {
				t.Fatal(err)
			}
			slice.Free()
			if !bytes.Equal(test.bytes(test.message), sent) {
				t.Error("bytes changed when gRPC's buffers were freed")
			}
		})
	}
}

// TestSentBytesAreNotCopied looks for the very bytes in what gRPC is given.
func TestSentBytesAreNotCopied(t *testing.T) {
	t.Parallel()
	run := oneMiB()
	for name, message := range map[string]any{
		"subscribe response": &codec.SubscribeResponse{Batches: run, HighWatermark: 7},
		"publish request":    &codec.PublishRequest{Stream: "orders", Records: run, ProducerID: 1},
	} {
		slice, err := codec.New().Marshal(message)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := slices.ContainsFunc(slice, func(b mem.Buffer) bool {
			data := b.ReadOnlyData()
			return len(data) == len(run) && &data[0] == &run[0]
		})
		if !found {
			t.Errorf("%s: Marshal copied the bytes", name)
		}
	}
}

// TestReceivedBytesAreCopiedOnce: what is set aliases the one piece that was made of gRPC's buffers, and cannot be
// appended to without leaving it.
func TestReceivedBytesAreCopiedOnce(t *testing.T) {
	message := &codec.SubscribeResponse{Batches: oneMiB(), HighWatermark: 7}
	small := &codec.SubscribeResponse{Batches: newSource(1).batches(1)[0], HighWatermark: 7}
	allocations := func(m *codec.SubscribeResponse) (marshalled, unmarshalled float64) {
		c := codec.New()
		marshalled = testing.AllocsPerRun(10, func() {
			if _, err := c.Marshal(m); err != nil {
				t.Error(err)
			}
		})
		slice := mem.BufferSlice{mem.SliceBuffer(marshal(t, m))}
		var got codec.SubscribeResponse
		unmarshalled = testing.AllocsPerRun(10, func() {
			if err := c.Unmarshal(slice, &got); err != nil {
				t.Error(err)
			}
		})
		if cap(got.Batches) != len(got.Batches) {
			t.Errorf("batches have room for %d bytes after them", cap(got.Batches)-len(got.Batches))
		}
		return marshalled, unmarshalled
	}
	marshalled, unmarshalled := allocations(message)
	marshalledSmall, unmarshalledSmall := allocations(small)
	if marshalled != marshalledSmall || marshalled > 4 {
		t.Errorf("Marshal allocates %v times for 1 MiB, %v times for one batch; want the same, at most 4", marshalled, marshalledSmall)
	}
	if unmarshalled != unmarshalledSmall || unmarshalled > 1 {
		t.Errorf("Unmarshal allocates %v times for 1 MiB, %v times for one batch; want 1", unmarshalled, unmarshalledSmall)
	}
}

func TestOrdinaryMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]encoding.CodecV2{
		"second interface": codec.New(),
		"first interface":  codec.OverFirstInterface(plain{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.Name(); got != "proto" {
				t.Errorf("Name() = %q, want proto", got)
			}
			want := &trestlev1.CreateStreamRequest{Config: &trestlev1.StreamConfig{Name: "orders", Subjects: []string{"a", "b"}}}
			slice, err := c.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			got := new(trestlev1.CreateStreamRequest)
			if err := c.Unmarshal(slice, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, err := c.Marshal(&trestlev1.CreateStreamRequest{Config: &trestlev1.StreamConfig{Name: "\xff"}}); err == nil {
				t.Error("Marshal of a name that is not UTF-8: no error")
			}
			if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer{0x0a}}, got); err == nil {
				t.Error("Unmarshal of a field cut short: no error")
			}
		})
	}
}

func TestForeignTypesAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := codec.New().Marshal("text"); err == nil {
		t.Error("Marshal of a string: no error")
	}
	if err := codec.New().Unmarshal(nil, new(string)); err == nil {
		t.Error("Unmarshal into a string: no error")
	}
}

// plain is protobuf as a codec of gRPC's first interface.
type plain struct{}

func (plain) Marshal(v any) ([]byte, error)      { return proto.Marshal(v.(proto.Message)) }
func (plain) Unmarshal(data []byte, v any) error { return proto.Unmarshal(data, v.(proto.Message)) }
func (plain) Name() string                       { return "proto" }

func BenchmarkMarshalSubscribeResponse(b *testing.B) {
	response := &codec.SubscribeResponse{Batches: oneMiB(), HighWatermark: 1 << 40, LogStart: 1 << 20}
	c := codec.New()
	b.SetBytes(int64(len(response.Batches)))
	b.ReportAllocs()
	for b.Loop() {
		slice, err := c.Marshal(response)
		if err != nil {
			b.Fatal(err)
		}
		slice.Free()
	}
}

func BenchmarkUnmarshalSubscribeResponse(b *testing.B) {
	wire := marshal(b, &codec.SubscribeResponse{Batches: oneMiB(), HighWatermark: 1 << 40, LogStart: 1 << 20})
	slice := pooled(wire)
	c := codec.New()
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		var response codec.SubscribeResponse
		if err := c.Unmarshal(slice, &response); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshalPublishRequest(b *testing.B) {
	request := &codec.PublishRequest{Stream: "orders", Records: bytes.Repeat([]byte{0x0a, 0}, 1<<16), RecordsCRC: new(uint32(1))}
	c := codec.New()
	b.SetBytes(int64(len(request.Records)))
	b.ReportAllocs()
	for b.Loop() {
		slice, err := c.Marshal(request)
		if err != nil {
			b.Fatal(err)
		}
		slice.Free()
	}
}
