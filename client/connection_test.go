package client_test

import (
	"slices"
	"testing"

	"github.com/trestlehq/trestle/client"
)

// TestOutagesAreTold: each once, lost and then there again; and the end of the client is none.
func TestOutagesAreTold(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 1)
	first, second := server.listen(t), server.listen(t)
	told := make(chan bool, 10)
	c := connect(t, first.addr+","+second.addr, client.OnConnection(func(connected bool) { told <- connected }))
	sub, err := c.Stream("orders").Subscribe(within(t)) // it has the client connect again
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	var got []bool
	for range 2 {
		select {
		case connected := <-told:
			got = append(got, connected)
		case <-within(t).Done():
			t.Fatalf("got %v, and no more", got)
		}
	}
	sub.Stop()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	close(told)
	for connected := range told {
		got = append(got, connected)
	}
	if want := []bool{false, true}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
