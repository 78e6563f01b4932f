package host_test

import (
	"testing"

	"github.com/trestlehq/trestle/server/internal/partition"
)

// What was purged does not come back when the power goes (S14 holds for the rest: nothing else is taken away).
func TestPurgeSurvivesThePower(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	w.create(orders())
	for _, value := range []string{"a", "b", "c", "d"} {
		w.publish("orders", 0, value)
	}
	purged, err := w.Purge("orders", nil, partition.Place{Kind: partition.AtOffset, Offset: 2})
	if err != nil || len(purged) != 1 || purged[0].GetLogStart() != 2 {
		t.Fatalf("got %v, %v", purged, err)
	}
	w.kill()
	w.start()
	w.want("orders", 0, "c", "d")
	w.stop()
}
