package server

import (
	"testing"

	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// Answers that were taken in, or dropped, take no room from what is captured.
func TestAnswersTakeNoRoom(t *testing.T) {
	t.Parallel()
	first := make(firstAnswer, 1)
	settled := 0
	for _, value := range []string{"a", "b"} {
		err := first.CaptureWith(&batch.Record{Value: []byte(value)}, partition.Captured{OnSettled: func() { settled++ }})
		if err != nil {
			t.Fatal(err)
		}
	}
	if answer := <-first; string(answer) != "a" || settled != 2 {
		t.Errorf("got %q, and %d of 2 are settled", answer, settled)
	}
}
