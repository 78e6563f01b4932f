package host

import (
	"math"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// What the partitions of a stream share of their meta.json is, with the number put in, what each would be told on its own: else
// every start would read and compare the configuration of each partition.
func TestTextOfMeta(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"orders", "\n  \"partition\": 0", `"partition": 0,`} {
		shared := text{}
		config := &trestlev1.StreamConfig{Name: name, Subjects: []string{"a.>", "b"}, Labels: map[string]string{"partition": "0"}, RetainBytes: proto.Int64(1)}
		for _, number := range []int32{7, 0, 12, math.MaxInt32, 1} {
			m := meta{Stream: uuid.UUID{1}, Number: number, Config: config}
			want, err := m.encode()
			if err != nil {
				t.Fatal(err)
			}
			got, err := shared.of(&m)
			if err != nil || string(got) != string(want) {
				t.Fatalf("got %s, %v, want %s", got, err, want)
			}
			read, err := decodeMeta("meta.json", got)
			if err != nil || !read.equal(&m) {
				t.Fatalf("read as %+v, %v", read, err)
			}
		}
	}
}
