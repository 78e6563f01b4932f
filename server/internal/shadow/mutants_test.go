//go:build mutants

package shadow

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestMutants shows that each fault of mutants.txt is found, and which seed of TestMatching finds it first; not every one
// is a fault that the simulation can tell from what is granted.
func TestMutants(t *testing.T) {
	if chosen != "" {
		t.Skip("one mutant at a time")
	}
	listed, err := os.ReadFile("mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile(`seed \d+ .*`)
	for line := range strings.Lines(string(listed)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 {
			t.Fatalf("mutants.txt: %q has %d fields, want 3", line, len(fields))
		}
		run := func(pattern string) (string, bool) {
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+pattern, "-seeds=1500")
			command.Env = append(os.Environ(), "TRESTLE_MUTANT="+fields[0])
			out, err := command.CombinedOutput()
			return string(out), err != nil && strings.Contains(string(out), "--- FAIL")
		}
		out, killed := run(fields[2])
		if !killed {
			t.Errorf("%s survives %s:\n%s", fields[0], fields[2], out)
		}
		out, _ = run("TestMatching")
		t.Logf("%-32s %-40s %.110s", fields[0], fields[2], first.FindString(out))
	}
}
