package simulation_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

var (
	seeds   = flag.Uint64("seeds", 150, "how many clusters are simulated")
	from    = flag.Uint64("from", 0, "the first seed")
	only    = flag.Int64("seed", -1, "simulate this seed only and print what happens")
	stop    = flag.Bool("stop", false, "stop at the first violation")
	workers = flag.Int("workers", runtime.GOMAXPROCS(0), "clusters simulated side by side")
)

// newWorld makes a cluster from a seed. Nothing runs yet.
func newWorld(seed uint64, verbose bool) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x7265706c)), now: epoch0, links: map[[2]int]*link{}, counts: map[string]int{},
		buffer: make([]byte, 64<<10), verbose: verbose, ctx: context.Background(),
	}
	w.plan = w.newPlan()
	w.oracle = newOracle(w)
	w.nats, w.clients, w.control = newNATS(w), &clients{w: w}, newControl(w)
	for i := range w.plan.brokers {
		w.brokers = append(w.brokers, newBroker(w, i))
	}
	return w
}

// run lets a cluster live: it begins, faults happen, they end, and then all must be well.
func (w *world) run() {
	w.begin()
	for i := range 2 {
		w.nats.publish(i)
		w.clients.publish()
	}
	w.faults()
	w.runFor(w.plan.active)
	w.heal()
	w.runFor(w.waitFor())
	if w.spoiled > 0 {
		w.scrub()
		w.runFor(7 * time.Second)
	}
	w.oracle.finish()
}

// begin makes a cluster with a stream that every replica hears for. No faults happen yet, and nobody publishes.
func (w *world) begin() {
	made := w.control.commit(w.encoded(&clusterv1.Command{Command: &clusterv1.Command_InitCluster{InitCluster: &clusterv1.InitCluster{
		Uuid: w.uuidBytes(), Secret: bytes.Repeat([]byte{7}, 32), Name: "sim",
	}}}))
	w.must(made.Err(), "making the cluster")
	for _, b := range w.brokers {
		b.start()
	}
	w.control.elect()
	for range 300 {
		if w.runFor(100 * time.Millisecond); w.allRegistered() {
			break
		}
	}
	w.createStream()
	for range 100 {
		if w.runFor(100 * time.Millisecond); w.allSubscribed() {
			break
		}
	}
}

// allRegistered says whether every broker is there, so that a stream can be placed on all of them.
func (w *world) allRegistered() bool {
	for _, b := range w.brokers {
		if known, _ := w.control.latest().Broker(b.name); b.brokerEpoch() == 0 || known.Fenced {
			return false
		}
	}
	return true
}

// allSubscribed says whether every replica hears: before that the stream is not created (2.3).
func (w *world) allSubscribed() bool {
	for _, b := range w.brokers {
		for p := range w.control.latest().PartitionsOn(b.name) {
			if b.replicas[p.ID] == nil {
				return false
			}
		}
	}
	return true
}

func (w *world) uuidBytes() []byte {
	id := w.uuid()
	return id[:]
}

func (w *world) encoded(command *clusterv1.Command) []byte {
	entry, err := metadata.EncodeCommand(command)
	w.must(err, "encoding a command")
	return entry
}

// createStream makes the stream that everything is about.
func (w *world) createStream() {
	command := &clusterv1.CreateStream{Uuid: w.uuidBytes(), Config: &trestlev1.StreamConfig{
		Name: "orders", Subjects: []string{"orders"}, Partitions: proto.Int32(int32(w.plan.partitions)),
		Replicas: proto.Int32(int32(w.plan.replicas)), MinIsr: proto.Int32(int32(w.plan.minISR)),
	}}
	if w.plan.async {
		command.Config.Sync = trestlev1.Sync_SYNC_INTERVAL
	}
	for range w.plan.partitions {
		id := w.uuid()
		command.Partitions = append(command.Partitions, &clusterv1.NewPartition{Uuid: id[:]})
		w.oracle.add(id)
	}
	result := w.control.commit(w.encoded(&clusterv1.Command{Command: &clusterv1.Command_CreateStream{CreateStream: command}}))
	w.must(result.Err(), "creating the stream")
}

// outcomeOf is how a simulated cluster ended.
type outcomeOf struct {
	err      error
	trace    uint64
	events   int
	lived    time.Duration
	counts   map[string]int
	history  []string
	settings plan
}

func simulate(seed uint64, verbose bool) outcomeOf {
	w := newWorld(seed, verbose)
	err := caught(w.run)
	return outcomeOf{
		err: err, trace: w.trace, events: w.events, lived: time.Duration(w.now - epoch0), counts: w.counts,
		history: w.history, settings: w.plan,
	}
}

// TestCluster simulates clusters, under rules S1 to S9, S11 to S15, C1, C4 and R1 to R10: DESIGN.md says which is checked where.
func TestCluster(t *testing.T) {
	if *only >= 0 {
		o := simulate(uint64(*only), true)
		t.Logf("%+v\n%s\n%v", o.settings, strings.Join(o.history, "\n"), o.counts)
		if o.err != nil {
			t.Fatalf("seed %d: %v", *only, o.err)
		}
		return
	}
	began := time.Now()
	total := runSeeds(t, *from, *seeds)
	took := time.Since(began)
	t.Logf("%d seeds, %.1f simulated hours, %d events, %.0f events/s, %v", total.counts["heal"], total.lived.Hours(), total.events,
		float64(total.events)/took.Seconds(), took.Round(time.Second))
	for _, what := range slices.Sorted(maps.Keys(total.counts)) {
		t.Logf("%12d %s", total.counts[what], what)
	}
}

// runSeeds simulates seeds side by side, and one of a hundred twice.
func runSeeds(t *testing.T, from, count uint64) outcomeOf {
	var mu sync.Mutex
	total := outcomeOf{counts: map[string]int{}}
	next, failed := from, 0
	var group sync.WaitGroup
	for range *workers {
		group.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				done := seed >= from+count || failed >= 5 || *stop && failed > 0
				mu.Unlock()
				if done {
					return
				}
				o := simulate(seed, false)
				if o.err == nil && seed%100 == 0 {
					if again := simulate(seed, false); again.trace != o.trace || again.events != o.events {
						o.err = errors.New("the same seed gave another trace")
					}
					total.add(&mu, outcomeOf{counts: map[string]int{"run twice": 1}})
				}
				total.add(&mu, o)
				if o.err != nil {
					mu.Lock()
					failed++
					mu.Unlock()
					t.Errorf("seed %d: %v", seed, o.err)
				}
				if seed > from && (seed-from)%10000 == 0 {
					fmt.Fprintf(os.Stderr, "%d seeds\n", seed-from)
				}
			}
		})
	}
	group.Wait()
	return total
}

func (o *outcomeOf) add(mu *sync.Mutex, other outcomeOf) {
	mu.Lock()
	defer mu.Unlock()
	o.events += other.events
	o.lived += other.lived
	for what, n := range other.counts {
		o.counts[what] += n
	}
}
