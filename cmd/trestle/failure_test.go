package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/client"
)

// TestFailureNamesRemedy: an error that a server gives without a remedy is printed with one, and any other as it stands.
func TestFailureNamesRemedy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"gone":       {fmt.Errorf("offset 0: %w", client.ErrOffsetGone), "error: offset 0: offset is gone\n  retention, compaction or a purge took it; trestle stream info shows where each partition starts\n"},
		"beyond":     {client.ErrOffsetBeyondEnd, "error: offset is beyond the end\n  trestle stream info shows where each partition ends\n"},
		"unexpected": {client.ErrWrongOffset, "error: wrong offset\n  another message was stored first: read it, then expect the next offset\n"},
		"its own":    {fmt.Errorf("%w; do this; do that", client.ErrOffsetGone), "error: offset is gone\n  do this\n  do that\n"},
		"unknown":    {errors.New("out of luck"), "error: out of luck\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			if printFailure(&text, test.err, false); text.String() != test.want {
				t.Errorf("got %q, want %q", text.String(), test.want)
			}
		})
	}
}
