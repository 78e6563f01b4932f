package ordeal

import (
	"testing"

	"github.com/trestlehq/trestle/server/servertest"
)

// keptPorts are flags of a server that is to come back where it was. Those who use a NATS that is not its own leave out the
// last two.
func keptPorts(t *testing.T) []string {
	t.Helper()
	return []string{
		"--listen", servertest.FreeAddress(t), "--http", servertest.FreeAddress(t),
		"--peer", servertest.FreeAddress(t), "--nats-listen", servertest.FreeAddress(t),
	}
}
