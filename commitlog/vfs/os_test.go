package vfs_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/trestlehq/trestle/commitlog/vfs"
)

// lockVariable has the name of a file that a process started by a test locks until its standard input ends.
const lockVariable = "TRESTLE_TEST_LOCK"

func TestMain(m *testing.M) {
	if name := os.Getenv(lockVariable); name != "" {
		os.Exit(holdLock(name))
	}
	os.Exit(m.Run())
}

func holdLock(name string) int {
	if _, err := vfs.OS().Lock(name); err != nil {
		return 1
	}
	if _, err := os.Stdout.WriteString("locked\n"); err != nil {
		return 1
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	return 0
}

// TestLockKeepsOutOtherProcesses has another process hold the lock, and end without giving it back.
func TestLockKeepsOutOtherProcesses(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "LOCK")
	holder := exec.CommandContext(t.Context(), os.Args[0])
	holder.Env = append(os.Environ(), lockVariable+"="+name)
	stdin := must(holder.StdinPipe())(t)
	stdout := must(holder.StdoutPipe())(t)
	wantOK(t, holder.Start())
	if line := must(bufio.NewReader(stdout).ReadString('\n'))(t); line != "locked\n" {
		t.Fatalf("got %q from the other process", line)
	}
	_, err := vfs.OS().Lock(name)
	wantError(t, err, vfs.ErrLocked)
	wantOK(t, stdin.Close())
	wantOK(t, holder.Wait())
	lock := must(vfs.OS().Lock(name))(t)
	wantOK(t, lock.Close())
}
