package client_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/client"
)

// reasonForm is what a reason looks like: in the rooms that are read here, no other string does.
var reasonForm = regexp.MustCompile(`^[A-Z_]{5,}$`)

// TestEveryReasonOfTheServerHasAKind compares the two lists: that of the server, as its source has it, and ours.
func TestEveryReasonOfTheServerHasAKind(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for _, room := range []string{"../server/internal/rpc/errors*.go", "../metadata/*.go"} {
		files, err := filepath.Glob(room)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: got %v, %v, want source", room, files, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				maps.Copy(given, reasonsIn(t, file))
			}
		}
	}
	// What only this client says, and what no server says yet.
	for _, ours := range []string{"CLOSED", "UNAVAILABLE", "NOT_ENOUGH_REPLICAS"} {
		given[ours] = true
	}
	delete(given, "TRESTLE_MUTANT") // the name of an environment variable
	known := slices.Sorted(maps.Keys(client.KindOfReason))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(given)), known); diff != "" {
		t.Errorf("reasons (-the server gives +the client knows):\n%s", diff)
	}
}

// reasonsIn are the strings of the form of a reason in a source file.
func reasonsIn(t *testing.T, file string) map[string]bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil && reasonForm.MatchString(text) {
				found[text] = true
			}
		}
		return true
	})
	return found
}
