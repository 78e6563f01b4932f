package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// journal is a machine that remembers what it was given.
type journal struct {
	mu     sync.Mutex
	lines  []line
	broken error // what Restore returns
}

type line struct {
	Index   uint64
	Command string
}

func (j *journal) Apply(index uint64, command []byte) []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line{index, string(command)})
	return fmt.Appendf(nil, "%d:%s", len(j.lines), command)
}

func (j *journal) Snapshot() io.WriterTo {
	return written(slices.Clone(j.all()))
}

type written []line

func (w written) WriteTo(to io.Writer) (int64, error) {
	raw, err := json.Marshal(w)
	if err != nil {
		return 0, err
	}
	return io.Copy(to, bytes.NewReader(raw))
}

func (j *journal) Restore(from io.Reader) error {
	if j.broken != nil {
		return j.broken
	}
	var lines []line
	if err := json.NewDecoder(from).Decode(&lines); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = lines
	return nil
}

func (j *journal) all() []line {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

func (j *journal) commands() []string {
	var commands []string
	for _, line := range j.all() {
		commands = append(commands, line.Command)
	}
	return commands
}

// directory is what the brokers of a test know of each other's addresses.
type directory struct {
	mu    sync.Mutex
	known map[string]string
}

func (d *directory) put(id, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = make(map[string]string)
	}
	d.known[id] = address
}

func (d *directory) find(id string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	address, ok := d.known[id]
	return address, ok
}

// quick is a clock for tests of several nodes on one busy machine: a leader that is not run, or whose disk is busy, for so long
// leads no more, and the test with it.
func quick() Timing { return Timing{Heartbeat: time.Second, SnapshotCheck: time.Hour} }

// testNode is a node with its machine and what it takes to open it again.
type testNode struct {
	*Node
	journal *journal
	options Options
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openNode opens a node on a folder of its own, or on the one that options name, and stops it when the test ends.
func openNode(t *testing.T, options Options) *testNode {
	t.Helper()
	if options.Folder == "" {
		options.Folder = t.TempDir()
	}
	if options.Name == "" {
		options.Name = "a"
	}
	if options.Timing == (Timing{}) {
		options.Timing = quick()
	}
	if options.Logger == nil {
		options.Logger = quiet()
	}
	options.Listener = listen(t)
	state := &journal{}
	options.Machine = state
	opened, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	n := &testNode{Node: opened, journal: state, options: options}
	t.Cleanup(func() { n.close(t) })
	return n
}

func (n *testNode) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func (n *testNode) address() string { return n.options.Listener.Addr().String() }

// reopen closes the node and opens it again, on another port.
func (n *testNode) reopen(t *testing.T) *testNode {
	t.Helper()
	n.close(t)
	options := n.options
	options.Bootstrap, options.Address = false, ""
	return openNode(t, options)
}

func (n *testNode) propose(t *testing.T, command string) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	outcome, err := n.Propose(ctx, []byte(command))
	if err != nil {
		t.Fatalf("propose %q: %v", command, err)
	}
	return outcome
}

// eventually waits until what holds. It looks again and again, with the node's own changes as the clock.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("never came about: %s", what)
		case <-tick.C:
		}
	}
}

func (n *testNode) waitLeading(t *testing.T) {
	t.Helper()
	eventually(t, "leader "+n.ID(), n.Leading)
}

func (n *testNode) waitApplied(t *testing.T, index uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.WaitApplied(ctx, index); err != nil {
		t.Fatalf("%s: wait for %d at %d: %v", n.ID(), index, n.Applied(), err)
	}
}

// group opens count nodes that are voters of one group, the first as its leader.
func group(t *testing.T, count int, known *directory) []*testNode {
	t.Helper()
	nodes := make([]*testNode, count)
	for i := range nodes {
		nodes[i] = openNode(t, Options{Name: string(rune('a' + i)), Bootstrap: i == 0, Addresses: known.find})
		known.put(nodes[i].ID(), nodes[i].address())
	}
	nodes[0].waitLeading(t)
	for _, node := range nodes[1:] {
		join(t, nodes[0], node)
	}
	return nodes
}

func join(t *testing.T, leader, joining *testNode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := leader.AddNonvoter(ctx, joining.ID(), joining.address()); err != nil {
		t.Fatal(err)
	}
	joining.waitApplied(t, leader.Applied())
	if err := leader.AddVoter(ctx, joining.ID(), joining.address()); err != nil {
		t.Fatal(err)
	}
}

// leaderOf waits until one of the nodes leads and has proved it.
func leaderOf(t *testing.T, nodes ...*testNode) *testNode {
	t.Helper()
	var leader *testNode
	eventually(t, "a leader", func() bool {
		for _, node := range nodes {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if node.Leading() && node.Barrier(ctx) == nil {
				leader = node
				return true
			}
		}
		return false
	})
	return leader
}

// sameCommands checks that the commands of one journal are want, in that order.
func sameCommands(t *testing.T, n *testNode, want ...string) {
	t.Helper()
	if got := n.journal.commands(); !slices.Equal(got, want) {
		t.Errorf("%s holds %s\nwant %s", n.ID(), strings.Join(got, " "), strings.Join(want, " "))
	}
}
