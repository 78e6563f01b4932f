package main

import (
	"encoding/json"
	"flag"
	"strings"
	"testing"
)

var smoke = flag.Bool("smoke", false, "run TestBenchSmoke: load on all cores, for half a minute")

// smokeBounds hold for any machine, under any load of its own: allocations are counted and not timed, and ratios are of two
// sides in the same second. They are wide, so that what breaks them is a mistake: an allocation for each record more than
// there was, or an order of magnitude.
var smokeBounds = struct {
	// serverAllocations and clientAllocations per message, at most: by contest, of the side that is ours. Of a capture NATS
	// itself, which runs in the server, makes most.
	serverAllocations, clientAllocations map[string]float64
	// ratios of the first pairing, at least; of singles, at most.
	atLeast, atMost map[string]float64
}{
	serverAllocations: map[string]float64{contestCapture: 2, contestPublish: 0.7, contestRead: 0.2, contestSingle: 80},
	clientAllocations: map[string]float64{contestPublish: 0.7, contestRead: 0.3, contestSingle: 80},
	atLeast:           map[string]float64{contestCapture: 0.2, contestPublish: 1, contestRead: 1.5},
	atMost:            map[string]float64{contestSingle: 4},
}

// TestBenchSmoke: nothing is lost, no record costs allocations that it did not cost before, and nothing is slower by an order
// of magnitude than what it is compared with. Times are never judged.
func TestBenchSmoke(t *testing.T) {
	if !*smoke {
		t.Skip("takes half a minute and all cores: make bench-smoke")
	}
	type round struct {
		Lost   int64    `json:"lost"`
		Server *float64 `json:"server_allocations_per_message"`
		Client float64  `json:"client_allocations_per_message"`
	}
	for _, args := range [][]string{
		{"vs", "core", "--only", contestCapture},
		{"vs", "jetstream", "--only", "publish,read,single"},
		{"vs", "jetstream", "--only", contestPublish, "--fanout"},
	} {
		out := benched(t, append(args, "--messages", "100000", "--rounds", "2", "--time", "1s", "-o", "json")...)
		for line := range strings.Lines(out) {
			var verdict struct {
				Contest string `json:"contest"`
				Sides   []struct {
					Rounds []round `json:"rounds"`
				} `json:"sides"`
				Comparisons []struct {
					Ratio float64 `json:"ratio"`
				} `json:"comparisons"`
			}
			if err := json.Unmarshal([]byte(line), &verdict); err != nil {
				t.Fatal(err)
			}
			contest, ratio := verdict.Contest, verdict.Comparisons[0].Ratio
			// The best of the rounds: what a garbage collection or a poll adds is not the records' cost.
			server, client := 1e9, 1e9
			for _, r := range verdict.Sides[0].Rounds {
				if r.Lost != 0 {
					t.Errorf("%s: %d messages are lost", contest, r.Lost)
				}
				if r.Server != nil {
					server = min(server, *r.Server)
				}
				client = min(client, r.Client)
			}
			t.Logf("%s: ratio %.2f, %.2f allocations per message in the server, %.2f in the client", contest, ratio, server, client)
			if bound, ok := smokeBounds.serverAllocations[contest]; ok && server > bound {
				t.Errorf("%s: the server makes %.2f allocations for a message, want %.2f at most", contest, server, bound)
			}
			if bound, ok := smokeBounds.clientAllocations[contest]; ok && client > bound {
				t.Errorf("%s: the client makes %.2f allocations for a message, want %.2f at most", contest, client, bound)
			}
			if bound, ok := smokeBounds.atLeast[contest]; ok && ratio < bound {
				t.Errorf("%s: got %.2f of the rival's rate, want %.2f at least", contest, ratio, bound)
			}
			if bound, ok := smokeBounds.atMost[contest]; ok && ratio > bound {
				t.Errorf("%s: got %.2f of the rival's time, want %.2f at most", contest, ratio, bound)
			}
		}
	}
}
