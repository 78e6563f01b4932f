package ordeal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
)

const (
	// smallDisk is what the server has, and fillBytes the size of a message.
	smallDisk, fillBytes = 96 << 20, 64 << 10
	// stopLimit is how long a server may take to stop.
	stopLimit = 5 * time.Second
	// missedMessages are published to a full disk over NATS.
	missedMessages = 50
	// ownMounts of the environment says that this process may mount what it likes.
	ownMounts = "ORDEAL_OWN_MOUNTS"
)

// TestFullDisk fills a small disk by publishing: nothing that was acknowledged is lost, reading goes on, plain messages become a
// counted gap, the server stops and starts, and deleting a stream is the way out (protocol.md 1.11). It runs itself again where
// it may mount a disk.
func TestFullDisk(t *testing.T) {
	if os.Getenv(ownMounts) == "" {
		runWithOwnMounts(t)
		return
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", smallDisk)); err != nil {
		t.Skipf("no disk of its own can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), roundLimit)
	defer cancel()
	f := &filling{ctx: ctx, disk: disk, dataDir: filepath.Join(disk, "data"), acked: map[string]int{}}
	f.broker = launch(t, os.Getenv(ownMounts), f.dataDir, keptPorts(t)...)
	f.fill("first", smallDisk/4)
	f.fill("second", smallDisk)
	f.miss("second")
	f.hold()
	f.restart("refusing")
	filler := f.takeTheRest()
	f.hold()
	f.restart("without one free block")
	f.hold()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := f.client.Stream("first").Delete(ctx); err != nil {
		t.Fatalf("deleting a stream on a full disk: %v", err)
	}
	delete(f.acked, "first")
	f.awaitRoom("second", smallDisk/6)
	f.hold()
	f.restart("with room")
	f.hold()
	if f.missed != missedMessages {
		t.Errorf("%d plain messages are stored or in gaps, and %d were published", f.missed, missedMessages)
	}
}

// runWithOwnMounts runs the test again in a process that may mount, also where its user may not.
func runWithOwnMounts(t *testing.T) {
	t.Helper()
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestFullDisk$", "-test.v")
	again.Env = append(os.Environ(), ownMounts+"="+built.Path(t))
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	said, err := again.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Skipf("a process with mounts of its own cannot be started here: %v", err)
	}
	t.Logf("in a process of its own:\n%s", said)
	if err != nil {
		t.Error(err)
	}
}

// filling is a server on a small disk, and how many messages of each stream it has acknowledged.
type filling struct {
	*broker
	ctx           context.Context
	disk, dataDir string
	acked         map[string]int
	missed        int // plain messages that are stored or in gaps, as hold has seen
}

// fill publishes to a new stream until so many bytes are stored, or the disk is full.
func (f *filling) fill(stream string, bytes int) {
	f.t.Helper()
	s, err := f.client.CreateStream(f.ctx, client.StreamConfig{Name: stream, Subjects: []string{stream}, SegmentBytes: 4 << 20})
	if err != nil {
		f.t.Fatal(err)
	}
	value := make([]byte, fillBytes)
	for stored := 0; stored < bytes; stored += fillBytes {
		if _, err := s.Publish(f.ctx, value); errors.Is(err, client.ErrDiskFull) {
			f.t.Logf("stream %s: refused after %d messages of %d KiB: %v", stream, f.acked[stream], fillBytes>>10, err)
			return
		} else if err != nil {
			f.t.Fatal(err)
		}
		f.acked[stream]++
	}
	if bytes >= smallDisk {
		f.t.Fatalf("%d bytes were stored on a disk of %d", bytes, smallDisk)
	}
}

// miss publishes plain messages, which nobody can store: publishers do not feel it, and there is a gap.
func (f *filling) miss(stream string) {
	f.t.Helper()
	c, err := nats.Connect(f.server.NATS, nats.Timeout(readyLimit), nats.ErrorHandler(quiet))
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	for range missedMessages {
		if err := c.Publish(stream, make([]byte, fillBytes)); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := c.FlushTimeout(stopLimit); err != nil {
		f.t.Errorf("a publisher on NATS is held up by a full disk: %v", err)
	}
}

// takeTheRest leaves no free block, as something else on the disk may.
func (f *filling) takeTheRest() string {
	f.t.Helper()
	name := filepath.Join(f.disk, "filler")
	file, err := os.Create(name)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, block := range [][]byte{make([]byte, 1<<20), make([]byte, 4<<10)} {
		for err = nil; err == nil; {
			_, err = file.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			f.t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		f.t.Fatal(err)
	}
	return name
}

// hold reads everything: what was acknowledged is there, and no more, but for plain messages, which are there or in a gap.
func (f *filling) hold() {
	f.t.Helper()
	for stream, acked := range f.acked {
		stored, lost, known, err := account(f.ctx, f.client.Stream(stream))
		if err != nil {
			f.t.Fatalf("reading stream %s on a full disk: %v", stream, err)
		}
		plain := stored - acked
		if plain < 0 || plain > missedMessages {
			f.t.Errorf("stream %s has %d messages, and %d were acknowledged", stream, stored, acked)
		}
		if stream == "second" {
			f.missed = plain + lost
		}
		f.t.Logf("stream %s: %d acknowledged, %d stored, %d in gaps (all counted: %v)", stream, acked, stored, lost, known)
	}
}

// restart stops the server in order, within the time that it has, and starts it again.
func (f *filling) restart(when string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, stopLimit)
	defer cancel()
	begun := time.Now()
	if err := f.server.Terminate(ctx); err != nil {
		f.t.Errorf("stopping %s: %v", when, err)
	}
	stopped := time.Since(begun)
	flags := f.server.Flags()
	f.start(f.ctx, f.dataDir, flags...)
	f.t.Logf("stopped %s within %v, ready again after %v", when, stopped.Round(time.Millisecond), f.server.StartTime.Round(time.Millisecond))
}

// awaitRoom publishes until so many bytes more are stored.
func (f *filling) awaitRoom(stream string, bytes int) {
	f.t.Helper()
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	begun := time.Now()
	for stored := 0; stored < bytes; {
		_, err := f.client.Stream(stream).Publish(f.ctx, make([]byte, fillBytes))
		switch {
		case err == nil:
			f.acked[stream]++
			stored += fillBytes
			continue
		case !errors.Is(err, client.ErrDiskFull) || time.Since(begun) > readyLimit:
			f.t.Fatalf("after a stream was deleted: %v", err)
		}
		<-ticks.C
	}
	f.t.Logf("a stream deleted, %s more are stored after %v", mebibytes(int64(bytes)), time.Since(begun).Round(time.Millisecond))
}
