package ordeal

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/server/servertest"
)

var (
	idleStreams = flag.Int("streams", 30, "how many streams a broker of many has, of partitionsEach partitions")
	idleTime    = flag.Duration("idle", time.Second, "how long it is watched while nothing happens")
	ackTime     = flag.Duration("acks", time.Second, "how long it is published to then")
)

const (
	partitionsEach = 5
	// creators create streams at once.
	creators = 16
	// perPartition is how many messages a second each partition gets.
	perPartition = 10
	// resting is after how long a partition that does nothing holds no descriptor any more.
	resting = 35 * time.Second
	// sparse is how many goroutines and descriptors a broker may have, besides one goroutine a partition (protocol.md 1.8).
	sparse = 150
)

// TestManyPartitions makes a broker with many partitions, measures what they cost while nothing happens, and then how long
// a durable ack takes when each gets a few messages a second.
func TestManyPartitions(t *testing.T) {
	b := newBroker(t, servertest.Build(t), false)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	begun := time.Now()
	empty := inspect(t, b.server.PID())
	b.createMany(ctx)
	partitions := *idleStreams * partitionsEach
	t.Logf("%d streams with %d partitions created in %v", *idleStreams, partitions, time.Since(begun).Round(time.Millisecond))

	before := inspect(t, b.server.PID())
	select {
	case <-time.After(*idleTime):
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	after, goroutines := inspect(t, b.server.PID()), b.goroutines(ctx)
	t.Logf("%d idle partitions: %s resident (%s with none), %d goroutines, %d descriptors, %.1f %% of a core",
		partitions, mebibytes(after.residentBytes), mebibytes(empty.residentBytes), goroutines, after.files,
		100*(after.cpu-before.cpu).Seconds()/idleTime.Seconds())
	if goroutines > partitions+sparse {
		t.Errorf("%d goroutines for %d idle partitions, want at most one each (protocol.md 1.8)", goroutines, partitions)
	}
	if *idleTime >= resting && after.files > sparse {
		t.Errorf("%d descriptors for %d idle partitions, want none (protocol.md 1.8)", after.files, partitions)
	}

	waits := b.ackMany(ctx)
	slices.Sort(waits)
	at := func(part float64) time.Duration {
		return waits[int(part*float64(len(waits)-1))].Round(10 * time.Microsecond)
	}
	t.Logf("%d partitions, %d messages/s each, %d durable acks of policy ALL: p50 %v, p90 %v, p99 %v, p99.9 %v, worst %v",
		partitions, perPartition, len(waits), at(.5), at(.9), at(.99), at(.999), at(1))
}

func (b *broker) createMany(ctx context.Context) {
	b.t.Helper()
	numbers := make(chan int)
	var busy sync.WaitGroup
	faults := make(chan error, creators)
	for range creators {
		busy.Go(func() {
			for n := range numbers {
				name := fmt.Sprintf("many-%d", n)
				if _, err := b.client.CreateStream(ctx, client.StreamConfig{Name: name, Subjects: []string{name}, Partitions: partitionsEach}); err != nil {
					select {
					case faults <- err:
					default:
					}
				}
			}
		})
	}
	for n := range *idleStreams {
		numbers <- n
	}
	close(numbers)
	busy.Wait()
	select {
	case err := <-faults:
		b.t.Fatal(err)
	default:
	}
}

// goroutines of the server, as its metrics say.
func (b *broker) goroutines(ctx context.Context) int {
	b.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.server.HTTP+"/metrics", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindSubmatch(text)
	if found == nil {
		b.t.Fatalf("no goroutines in\n%s", text)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// ackMany publishes to all partitions in turn, at an even pace that does not wait for acks, and returns how long each
// message waited for its ack.
func (b *broker) ackMany(ctx context.Context) []time.Duration {
	b.t.Helper()
	c, err := nats.Connect(b.server.NATS, nats.ErrorHandler(quiet))
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	partitions := *idleStreams * partitionsEach
	total := int(ackTime.Seconds() * perPartition * float64(partitions))
	waits, all := make([]time.Duration, 0, total), make(chan error, 1)
	inbox := nats.NewInbox()
	sub, err := c.Subscribe(inbox, func(m *nats.Msg) {
		ack, err := envelope.ParseAck(m.Data)
		if err == nil {
			err = ack.Err()
		}
		if err == nil {
			waits = append(waits, time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(ack.CorrelationID)))))
		}
		if err != nil || len(waits) == total {
			select {
			case all <- err:
			default:
			}
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		b.t.Fatal(err)
	}
	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	value := make([]byte, payloadBytes)
	begun := time.Now()
	for sent := 0; sent < total; {
		due := min(int(time.Since(begun).Seconds()*perPartition*float64(partitions)), total)
		for ; sent < due; sent++ {
			now := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
			frame, err := (&envelope.Message{Value: value, AckInbox: []byte(inbox), AckPolicy: envelope.AckAll, CorrelationID: now}).Marshal()
			if err != nil {
				b.t.Fatal(err)
			}
			if err := c.Publish(manySubject(sent%partitions), frame); err != nil {
				b.t.Fatal(err)
			}
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			b.t.Fatal(ctx.Err())
		}
	}
	select {
	case err := <-all:
		if err != nil {
			b.t.Fatal(err)
		}
	case <-time.After(time.Minute):
		b.t.Fatalf("not all of %d messages were acknowledged within a minute after the last one was sent", total)
	}
	return waits
}

// manySubject is what a partition of all listens on (protocol.md 2.3).
func manySubject(partition int) string {
	stream, number := partition/partitionsEach, partition%partitionsEach
	if number == 0 {
		return fmt.Sprintf("many-%d", stream)
	}
	return fmt.Sprintf("many-%d.%d", stream, number)
}
