package ordeal

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// process is what Linux says of a process.
type process struct {
	peakBytes, residentBytes int64 // of memory
	cpu                      time.Duration
	files                    int // open descriptors
}

// ticksPerSecond is the unit of CPU time in /proc, the same on every Linux that Go runs on.
const ticksPerSecond = 100

// inspect asks the system. Where there is no /proc the test is skipped.
func inspect(t *testing.T, pid int) process {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.Open(filepath.Join(dir, "status"))
	if err != nil {
		t.Skipf("memory is read from /proc, which is not here: %v", err)
	}
	defer status.Close()
	var p process
	for lines := bufio.NewScanner(status); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kib); n == 1 {
			p.peakBytes = kib << 10
		}
		if n, _ := fmt.Sscanf(lines.Text(), "VmRSS: %d kB", &kib); n == 1 {
			p.residentBytes = kib << 10
		}
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ") // behind the name, which may hold anything
	var user, system int64
	fields := strings.Fields(after)
	if _, err := fmt.Sscan(strings.Join(fields[11:13], " "), &user, &system); err != nil {
		t.Fatal(err)
	}
	p.cpu = time.Duration(user+system) * time.Second / ticksPerSecond
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	p.files = len(open)
	return p
}

func mebibytes(n int64) string { return strconv.FormatInt(n>>20, 10) + " MiB" }
