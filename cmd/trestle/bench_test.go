package main

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

func TestBenchHelp(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"publish", "read", "latency", "all", "vs"} {
		got := call(t, nil, "bench", word, "--help")
		if got.code != exitDone || got.stderr != "" {
			t.Errorf("%s: got code %d and stderr %q, want 0 and nothing", word, got.code, got.stderr)
		}
		golden(t, "help/trestle-bench-"+word+".txt", got.stdout)
	}
}

// measured is a measurement with every figure; slower makes it slower by that factor.
func measured(slower int) loadtest.Measurement {
	took := time.Duration(slower) * time.Second
	return loadtest.Measurement{
		Messages: 1_000_000, Took: took, Committed: took + 250*time.Millisecond, Heard: 1_999_000, Allocations: 2_000_000,
		Latency: loadtest.Latency{
			Count: 1_000_000, P50: 64_531 * time.Nanosecond, P90: 105 * time.Microsecond, P99: 1234567 * time.Nanosecond,
			P999: 25 * time.Millisecond, Max: 1504 * time.Millisecond,
		},
		Server: loadtest.Usage{CPU: 1450 * time.Millisecond, PeakMemory: 91 << 20, Allocations: 250_000},
	}
}

// lossy is a measurement of a server about which nothing is known, and that lost a part.
func lossy() loadtest.Measurement {
	return loadtest.Measurement{Messages: 490_000, Lost: 510_000, Gaps: 3, Took: time.Second, Committed: 2 * time.Second}
}

func TestBenchReportsGolden(t *testing.T) {
	t.Parallel()
	load := loadtest.Load{Messages: 1_000_000, Size: 128, Publishers: 4, InFlight: 1024, Listeners: 2, Rate: 50_000, Time: 90 * time.Second}
	var text, asJSON strings.Builder
	for _, kind := range benchKinds() {
		rounds := [][]loadtest.Measurement{{measured(1)}, {lossy()}}
		if kind.word == "capture" {
			rounds = [][]loadtest.Measurement{{measured(1), measured(2)}, {measured(1), lossy()}}
		}
		r := benchReport{kind: kind.word, server: "the server at 127.0.0.1:9292", sync: "ack", fanout: kind.word == "publish", load: load, rounds: rounds}
		text.WriteString(r.text() + "\n")
		decodeLine(t, r.json())
		asJSON.WriteString(r.json())
	}
	golden(t, "bench.txt", text.String())
	golden(t, "bench.json", asJSON.String())
}

func TestBenchVerdictGolden(t *testing.T) {
	t.Parallel()
	v := &loadtest.Verdict{
		Name: contestPublish, Sides: []string{sideAck, sideJetStream},
		Load:   loadtest.Load{Messages: 1_000_000, Size: 128, Publishers: 1, InFlight: 1024, Listeners: 2, Time: 5 * time.Second},
		Rounds: [][]loadtest.Measurement{{measured(1), measured(6)}, {measured(2), lossy()}, {measured(1), measured(5)}},
		Comparisons: []loadtest.Comparison{{
			Pairing: loadtest.Pairing{Ours: 0, Theirs: 1, Figure: loadtest.FigureRate}, Ratio: loadtest.Spread{Min: 1.02, Median: 5, Max: 6},
		}, {
			Pairing: loadtest.Pairing{Ours: 0, Theirs: 1, Figure: loadtest.FigureP99}, Ratio: loadtest.Spread{Min: 0.9, Median: 1, Max: 1.1},
		}},
	}
	single := *v
	single.Name, single.Load = contestSingle, loadtest.Load{Size: 128, Publishers: 1, InFlight: 1, Time: 2 * time.Second}
	golden(t, "bench-vs.txt", verdictText(v)+verdictText(&single))
	decodeLine(t, verdictJSON(rivalJetStream, v))
	golden(t, "bench-vs.json", verdictJSON(rivalJetStream, v))
}

// benched runs a bench as a user does, with a server of its own in a folder that is empty again afterwards.
func benched(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), binary(t), append(append([]string{"bench"}, args...), "--dir", dir)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("bench %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("bench %s: %v is left behind, want nothing (%v)", strings.Join(args, " "), left, err)
	}
	return stdout.String()
}

// TestBenchAll: every kind of load, small, on a server that is started for it: nothing is lost, and all is measured.
func TestBenchAll(t *testing.T) {
	t.Parallel()
	out := benched(t, "all", "--messages", "2000", "--rounds", "1", "--time", "300ms", "-o", "json")
	var kinds []string
	for line := range strings.Lines(out) {
		object := decodeLine(t, line)
		kind := object["bench"].(string)
		kinds = append(kinds, kind)
		round := object["rounds"].([]any)[0].(map[string]any)
		lost := "lost"
		if kind == "capture" {
			lost = "capture_lost"
		}
		if unseen := round["server_peak_memory"] == nil; round[lost] != 0.0 || unseen && runtime.GOOS == "linux" {
			t.Errorf("%s: got %v, want nothing lost and what the server used", kind, round)
		}
		if latency, ok := round["latency"].(map[string]any); (kind == "latency") != ok || ok && latency["p99"] == "" {
			t.Errorf("%s: got latency %v", kind, latency)
		}
	}
	if got, want := strings.Join(kinds, " "), "capture publish read latency"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestBenchListeners: whoever listens on NATS hears all that is acked, of each side.
func TestBenchListeners(t *testing.T) {
	t.Parallel()
	const messages, listeners = 2000, 2
	out := benched(t, "vs", "jetstream", "--only", contestPublish, "--fanout", "--listeners", "2", "--messages", "2000", "--time", "1m", "--rounds", "1", "-o", "json")
	object := decodeLine(t, out)
	if object["listeners"] != float64(listeners) {
		t.Errorf("got %v listeners", object["listeners"])
	}
	for _, s := range object["sides"].([]any) {
		side := s.(map[string]any)
		if round := side["rounds"].([]any)[0].(map[string]any); round["heard"] != float64(messages*listeners) {
			t.Errorf("%s: %v messages were heard, want %d", side["name"], round["heard"], messages*listeners)
		}
	}
}

// TestBenchVersus: every contest with each rival, small: all sides find all messages, and every pairing has a ratio.
func TestBenchVersus(t *testing.T) {
	t.Parallel()
	for rival, contests := range rivals() {
		if rival == rivalLiftbridge {
			continue // its server is not built in: make bench-liftbridge
		}
		out := benched(t, "vs", rival, "--quick", "--messages", "5000", "--rounds", "1", "--rate", "1000", "--time", "1s", "-o", "json")
		var held []string
		for line := range strings.Lines(out) {
			object := decodeLine(t, line)
			held = append(held, object["contest"].(string))
			for _, s := range object["sides"].([]any) {
				side := s.(map[string]any)
				if round := side["rounds"].([]any)[0].(map[string]any); round["lost"] != 0.0 {
					t.Errorf("%s, %s, %s: got %v, want nothing lost", rival, object["contest"], side["name"], round)
				}
			}
			comparisons := object["comparisons"].([]any)
			for _, c := range comparisons {
				if c := c.(map[string]any); c["ratio"].(float64) <= 0 {
					t.Errorf("%s, %s: got %v, want a ratio", rival, object["contest"], c)
				}
			}
			if len(comparisons) == 0 {
				t.Errorf("%s, %s: nothing is compared", rival, object["contest"])
			}
		}
		if got, want := strings.Join(held, " "), strings.Join(contests, " "); got != want {
			t.Errorf("%s: got %s, want %s", rival, got, want)
		}
	}
}
