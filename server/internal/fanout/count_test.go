package fanout_test

import (
	"log/slog"
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

func (h *held) PublishMsg(msg *nats.Msg) error {
	<-h.release
	return h.publisher.PublishMsg(msg)
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
