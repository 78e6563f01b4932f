package replication_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMutantsAreListed holds mutants.txt and the faults that the code can switch on against each other.
func TestMutantsAreListed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(text)) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) != 3 || columns[1] == "" || columns[2] == "" {
			t.Errorf("%q is not NAME, what it does, and a pattern of tests", line)
		}
		listed = append(listed, columns[0])
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`mutant\("([^"]+)"\)`)
	var known []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range asked.FindAllStringSubmatch(string(source), -1) {
			known = append(known, m[1])
		}
	}
	slices.Sort(listed)
	slices.Sort(known)
	known = slices.Compact(known)
	if !slices.Equal(listed, known) || len(known) < 20 {
		t.Errorf("listed are %q, in the code are %q", listed, known)
	}
}
