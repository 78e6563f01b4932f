package servertest

import (
	"net"
	"testing"
)

// TestPortsOfProcesses: what one process was given, no other is, though both begin to look at the same place; and nobody is
// given what is in use.
func TestPortsOfProcesses(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	processes := []*ports{{}, {}}
	for range 2 * portsEach { // more than a block each
		for _, p := range processes {
			given[takeAnother(t, p, given)] = true
		}
	}
	next := processes[0].next
	used, err := listenOn(t.Context(), next)
	if err != nil {
		t.Skipf("%v: it is in use already, so that it cannot be taken here", err)
	}
	defer used.Close()
	if got := takeAnother(t, processes[0], given); got == used.Addr().String() {
		t.Errorf("got %s, which is in use", got)
	}
	for _, p := range processes {
		for _, lock := range p.locks {
			if err := lock.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// takeAnother wants an address of loopback that is within the bounds and was not given before.
func takeAnother(t *testing.T, p *ports, given map[string]bool) string {
	t.Helper()
	address, err := p.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || !at.IP.IsLoopback() || at.Port < portsFrom || at.Port >= portsUntil {
		t.Fatalf("got %s, want loopback and a port from %d until %d", address, portsFrom, portsUntil)
	}
	if given[address] {
		t.Fatalf("got %s twice", address)
	}
	return address
}
