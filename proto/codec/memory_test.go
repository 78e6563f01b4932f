package codec_test

import (
	"bytes"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/trestlehq/trestle/proto/codec"
)

// freed is a pool that counts what is given back to it.
type freed struct{ atomic.Int64 }

func (*freed) Get(size int) *[]byte { return new(make([]byte, size)) }

func (f *freed) Put(*[]byte) { f.Add(1) }

// Memory goes back once, with the last reference: that of who sends, or one that a Marshal took.
func TestMemoryIsFreedWithTheLastReference(t *testing.T) {
	t.Parallel()
	run := oneMiB()
	for name, order := range map[string]func(sender, first, second func()){
		"sender first": func(sender, first, second func()) { sender(); second(); first() },
		"sender last":  func(sender, first, second func()) { first(); second(); sender() },
		"between":      func(sender, first, second func()) { first(); sender(); second() },
	} {
		var pool freed
		memory := mem.NewBuffer(&run, &pool)
		response := &codec.SubscribeResponse{Batches: run, Memory: memory, HighWatermark: 7}
		var slices [2]mem.BufferSlice
		for i := range slices {
			var err error
			if slices[i], err = codec.New().Marshal(response); err != nil {
				t.Fatal(err)
			}
			if want := marshal(t, &codec.SubscribeResponse{Batches: run, HighWatermark: 7}); !bytes.Equal(slices[i].Materialize(), want) {
				t.Errorf("%s: encoded otherwise than without memory", name)
			}
		}
		left := int64(3)
		free := func(one func()) func() {
			return func() {
				one()
				left--
				if back := pool.Load(); (left == 0) != (back == 1) {
					t.Errorf("%s: %d references are left, and the memory came back %d times", name, left, back)
				}
			}
		}
		order(free(memory.Free), free(slices[0].Free), free(slices[1].Free))
	}
}
