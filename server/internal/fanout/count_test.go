package fanout_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"path"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// held holds the first message until it is let go.
type held struct {
	publisher
	release chan struct{} // closed to let it go
}

func (h *held) Send(commands []byte) error {
	<-h.release
	return h.publisher.Send(commands)
}

func startHeld(t *testing.T, p *partition.Partition, epoch uint64, counters *fanout.Counters) (*held, *fanout.Fanout) {
	t.Helper()
	out := &held{publisher: publisher{msgs: make(chan *nats.Msg, 100)}, release: make(chan struct{})}
	f, err := fanout.Start(fanout.Config{
		Partition: p, Epoch: epoch, Publisher: out, Stream: stream, Subject: "own", Counters: counters, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return out, f
}

// What is committed when a fan-out ends, and does not go out any more, is counted (2.1); what was captured is not.
func TestFanoutCountsTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, epoch := lead(t, vfs.NewMem(1))
		var counters fanout.Counters
		out, f := startHeld(t, p, epoch, &counters)
		publish(t, p, record("", "", "0"))
		synctest.Wait() // it is held
		publish(t, p, record("", "", "1"), record("", "", "2"))
		if err := p.CaptureWith(&batch.Record{Subject: []byte("a")}, partition.Captured{}); err != nil {
			t.Fatal(err)
		}
		publish(t, p, record("", "", "3"), record("a.*", "", "no subject"))
		synctest.Wait()
		go f.Close()
		synctest.Wait() // it is told to end
		close(out.release)
		synctest.Wait()
		if got := counters.Now(); got != (fanout.Counts{Published: 1, Dropped: 3, WithoutSubject: 1}) {
			t.Errorf("counts %+v", got)
		}
	})
}

// What is more than one chunk when a fan-out ends is counted by offsets.
func TestFanoutCountsManyChunks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, epoch := lead(t, vfs.NewMem(1))
		var counters fanout.Counters
		out, f := startHeld(t, p, epoch, &counters)
		publish(t, p, record("", "", "0"))
		synctest.Wait() // it is held
		for range 6 {
			publish(t, p, record("", "", strings.Repeat("x", 700<<10)))
		}
		go f.Close()
		synctest.Wait() // it is told to end
		close(out.release)
		synctest.Wait()
		if got := counters.Now(); got.Published != 1 || got.Dropped != 6 {
			t.Errorf("counts %+v", got)
		}
	})
}

// Damaged bytes are passed over and counted, and hold up nothing that comes after them.
func TestFanoutPassesDamage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem(1)
		p, epoch := lead(t, disk)
		var counters fanout.Counters
		out, _ := startHeld(t, p, epoch, &counters)
		publish(t, p, record("", "", "0"))
		synctest.Wait() // it is held
		publish(t, p, record("", "", "rotten"))
		publish(t, p, record("", "", "2"))
		overwrite(t, disk, "rotten", "ripest")
		close(out.release)
		synctest.Wait()
		if got := counters.Now(); len(out.msgs) != 2 || got != (fanout.Counts{Published: 2, Dropped: 1}) {
			t.Errorf("%d went out; counts %+v", len(out.msgs), got)
		}
	})
}

// overwrite replaces bytes of the log.
func overwrite(t *testing.T, disk *vfs.Mem, old, with string) {
	t.Helper()
	segments, err := disk.ReadDir("/log")
	if err != nil {
		t.Fatal(err)
	}
	for _, segment := range segments {
		file, err := disk.OpenReadWrite(path.Join("/log", segment.Name()))
		if err != nil {
			t.Fatal(err)
		}
		size, err := file.Size()
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, size)
		if _, err := file.ReadAt(content, 0); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if at := bytes.Index(content, []byte(old)); at >= 0 {
			if _, err := file.WriteAt([]byte(with), int64(at)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no %q in %v", old, segments)
}
