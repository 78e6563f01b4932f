package names_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/metadata/names"
)

func TestStream(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"orders": true, "Orders_2:eu-west.1": true, "9": true, "_x": true, strings.Repeat("a", 128): true,
		"": false, ".hidden": false, "-flag": false, "../../x": false, "a b": false, "a/b": false, "__cursors": false,
		"ordérs": false, strings.Repeat("a", 129): false, "a\x00": false, "a\n": false,
	} {
		err := names.Stream(name)
		if got := err == nil; got != ok {
			t.Errorf("Stream(%q): got %v, want ok=%v", name, err, ok)
		}
		if typed := (*names.Error)(nil); err != nil && (!errors.As(err, &typed) || typed.Remedy == "") {
			t.Errorf("Stream(%q): error %v has no remedy", name, err)
		}
	}
}

func TestPatternAndLiteral(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]struct{ pattern, literal bool }{
		"orders":      {true, true},
		"orders.new":  {true, true},
		"orders.*.eu": {true, false},
		"orders.>":    {true, false},
		">":           {true, false},
		"a*b.c>":      {true, true}, // a wildcard is a whole token
		"caf\xe9.x":   {true, true},
		"orders.>.x":  {false, false},
		"$JS.API.>":   {false, false},
		"$SYS.x":      {false, true},
		"_INBOX.x":    {false, true},
		"":            {false, false},
		".a":          {false, false},
		"a.":          {false, false},
		"a..b":        {false, false},
		"a b":         {false, false},
		"a\r\nPUB x":  {false, false},
		strings.Repeat("a", names.MaxSubjectLength+1): {false, false},
	} {
		if err := names.Pattern(subject); (err == nil) != want.pattern {
			t.Errorf("Pattern(%q): got %v, want ok=%v", subject, err, want.pattern)
		}
		if err := names.Literal(subject); (err == nil) != want.literal {
			t.Errorf("Literal(%q): got %v, want ok=%v", subject, err, want.literal)
		}
	}
}

// subjects over a small alphabet, of at most depth tokens, by which Matches and Overlap are checked in full.
func subjects(alphabet []string, depth int) []string {
	all := alphabet
	last := alphabet
	for range depth - 1 {
		var next []string
		for _, s := range last {
			for _, token := range alphabet {
				if !strings.HasSuffix(s, ">") {
					next = append(next, s+"."+token)
				}
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

// matches is the plain definition that Matches is held against.
func matches(pattern, subject []string) bool {
	switch {
	case len(pattern) == 0 || len(subject) == 0:
		return len(pattern) == len(subject)
	case pattern[0] == ">":
		return true
	case pattern[0] == "*" || pattern[0] == subject[0]:
		return matches(pattern[1:], subject[1:])
	}
	return false
}

func TestMatchesAndOverlap(t *testing.T) {
	t.Parallel()
	patterns := subjects([]string{"a", "b", "*", ">"}, 3)
	literals := subjects([]string{"a", "b", "c"}, 4)
	for _, p := range patterns {
		for _, q := range patterns {
			common := false
			for _, s := range literals {
				common = common || names.Matches(p, s) && names.Matches(q, s)
			}
			if got := names.Overlap(p, q); got != common {
				t.Errorf("Overlap(%q, %q): got %v, want %v", p, q, got, common)
			}
		}
		for _, s := range literals {
			if got, want := names.Matches(p, s), matches(strings.Split(p, "."), strings.Split(s, ".")); got != want {
				t.Errorf("Matches(%q, %q): got %v, want %v", p, s, got, want)
			}
		}
	}
}
