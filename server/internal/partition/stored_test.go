package partition_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// deflate stands for zstd.
type deflate struct{}

func (deflate) Encode(dst, src []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(src)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return append(dst, src...)
	}
	return append(dst, b.Bytes()...)
}

func (deflate) Decode(dst, src []byte, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(src)), int64(limit)))
	return append(dst, b...), err
}

// What is stored packed or encrypted is cut, unpacked and decrypted for readers (interfaces.md 3.14), and its message ids
// are known after a restart.
func TestPackedAndEncrypted(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func(*commitlog.Options){
		"packed":    func(o *commitlog.Options) { o.Codec, o.Compress = deflate{}, true },
		"encrypted": func(o *commitlog.Options) { o.Key = make([]byte, commitlog.KeySize) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(1)
			s.options = options
			codec := func(c *partition.Config) { withDedup(c); c.Codec, c.Dedup.Folder = deflate{}, "" }
			r := s.lead(t, codec)
			value := strings.Repeat("v", 1000)
			for i := range 10 {
				publish(t, r, messages(message(fmt.Sprint("a", i), value), message(fmt.Sprint("b", i), value)))
			}
			if r.State().Bytes < 10_000 == (name == "encrypted") {
				t.Errorf("%d bytes are stored", r.State().Bytes)
			}
			r.close(t)
			r = s.lead(t, codec)
			for _, backwards := range []bool{false, true} {
				stop := atOffset(12)
				if backwards {
					stop = at(partition.AtNever)
				}
				got := r.read(t, partition.ReadOptions{Start: atOffset(3), Stop: stop, Plain: true, Backwards: backwards})
				if want := map[bool]int{false: 9, true: 4}[backwards]; len(got) != want || got[0].Value != value || got[0].ID == "" {
					t.Errorf("backwards %v: %d records", backwards, len(got))
				}
			}
			if ack := publish(t, r, messages(message("b9", "again"))); ack.BaseOffset != 19 || ack.Count != 0 {
				t.Errorf("ack %+v", ack)
			}
			r.close(t)
		})
	}
}
