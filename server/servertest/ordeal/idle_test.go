package ordeal

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/trestlehq/trestle/client"
)

var (
	idleStreams = flag.Int("streams", 30, "how many streams a broker of many has, of partitionsEach partitions")
	idleTime    = flag.Duration("idle", time.Second, "how long it is watched while nothing happens")
	ackTime     = flag.Duration("acks", time.Second, "how long it is published to then")
	// perPartition is 10, as in what a broker is to show.
	perPartition = flag.Int("rate", 10, "how many messages a second each partition gets")
)

const (
	partitionsEach = 5
	// creators create streams at once.
	creators = 16
	// resting is after how long a partition that does nothing holds no descriptor any more.
	resting = 35 * time.Second
	// sparse is how many goroutines and descriptors a broker may have, besides one goroutine a partition (protocol.md 1.8).
	sparse = 150
)

// TestManyPartitions makes a broker with many partitions, measures what they cost while nothing happens, how long a durable
// ack takes when each gets a few messages a second, and how long it is until the broker is ready again.
func TestManyPartitions(t *testing.T) {
	dir := t.TempDir()
	b := launch(t, built.Path(t), dir)
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
	after, goroutines := inspect(t, b.server.PID()), int(b.metric(ctx, "go_goroutines"))
	t.Logf("%d idle partitions: %s resident (%s with none), %d goroutines, %d descriptors, %.1f %% of a core",
		partitions, mebibytes(after.residentBytes), mebibytes(empty.residentBytes), goroutines, after.files,
		100*(after.cpu-before.cpu).Seconds()/idleTime.Seconds())
	if goroutines > partitions+sparse {
		t.Errorf("%d goroutines for %d idle partitions, want at most one each (protocol.md 1.8)", goroutines, partitions)
	}
	if *idleTime >= resting && after.files > sparse {
		t.Errorf("%d descriptors for %d idle partitions, want none (protocol.md 1.8)", after.files, partitions)
	}

	if *ackTime > 0 {
		b.loadMany(ctx, partitions)
	}
	b.restartMany(ctx, dir)
}

// restartMany stops the broker twice, with and without warning, and says how long it is until it is ready again.
func (b *broker) restartMany(ctx context.Context, dir string) {
	b.t.Helper()
	begun := time.Now()
	if err := b.server.Terminate(ctx); err != nil {
		b.t.Fatal(err)
	}
	stopped := time.Since(begun)
	b.start(ctx, dir)
	b.t.Logf("stopped within %v, ready again after %v and %v of CPU", stopped.Round(time.Millisecond),
		b.server.StartTime.Round(time.Millisecond), inspect(b.t, b.server.PID()).cpu.Round(10*time.Millisecond))
	b.server.Kill()
	b.start(ctx, dir)
	b.t.Logf("killed, ready again after %v and %v of CPU", b.server.StartTime.Round(time.Millisecond),
		inspect(b.t, b.server.PID()).cpu.Round(10*time.Millisecond))
}

// loadMany publishes to all partitions and says how long durable acks take, and what that costs.
func (b *broker) loadMany(ctx context.Context, partitions int) {
	b.t.Helper()
	rate := float64(*perPartition * partitions)
	before, synced := inspect(b.t, b.server.PID()), b.metric(ctx, "trestle_sync_seconds_count")
	done, err := b.publishScheduled(ctx, partitions, rate, *ackTime)
	if err != nil {
		b.t.Fatalf("%v; the server's log ends:\n%s", err, b.server.Log())
	}
	after := inspect(b.t, b.server.PID())
	syncs := (b.metric(ctx, "trestle_sync_seconds_count") - synced) / done.took.Seconds()
	b.t.Logf("%d partitions, %d messages/s each for %v, %d durable acks of policy ALL: p50 %v, p99 %v, p99.9 %v, worst %v (publishers at most %v late); "+
		"%.0f acks/s, %.0f fdatasyncs/s, %.0f %% of a core, peak memory of the server %s",
		partitions, *perPartition, *ackTime, len(done.waits), done.at(.5), done.at(.99), done.at(.999), done.at(1), done.late.Round(time.Millisecond),
		float64(len(done.waits))/done.took.Seconds(), syncs, 100*(after.cpu-before.cpu).Seconds()/done.took.Seconds(), mebibytes(after.peakBytes))
	if want := int(ackTime.Seconds() * rate); len(done.waits) != want {
		b.t.Errorf("%d messages were acknowledged of %d", len(done.waits), want)
	}
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

// metric is a number that the server says of itself.
func (b *broker) metric(ctx context.Context, name string) float64 {
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
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(text)
	if found == nil {
		b.t.Fatalf("no %s in\n%s", name, text)
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
