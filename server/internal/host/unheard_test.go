package host_test

import (
	"errors"
	"slices"
	"testing"
)

// A stop by which messages may have been published that nobody heard leaves no word of a clean one (S13).
func TestUnheardIsNotClean(t *testing.T) {
	t.Parallel()
	for _, unheard := range []error{nil, errors.New("somebody came in")} {
		w := newWorld(t).start()
		w.create(orders())
		w.publish("orders", 0, "a")
		w.unheard = unheard
		w.stop()
		if clean := slices.Contains(w.names(dataDir), "clean"); clean != (unheard == nil) {
			t.Errorf("with %v: clean %v", unheard, clean)
		}
	}
}
