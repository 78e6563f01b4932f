package loadtest

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// workerVariable of the environment makes the test binary, started again, a worker.
const workerVariable = "LOADTEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := Work(context.Background(), os.Stdin, os.Stdout); err != nil {
		_, _ = io.WriteString(os.Stderr, err.Error())
		os.Exit(1)
	}
}

func crew(t *testing.T) *Crew {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Crew{Program: program, Env: []string{workerVariable + "=1"}}
}

// TestSidesOfNATS: a server, publishers and receivers, in processes of their own, that find every message.
func TestSidesOfNATS(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	crew := crew(t)
	w, server, err := crew.StartNATS(ctx, t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	js, err := ConnectJetStream(server, crew)
	if err != nil {
		t.Fatal(err)
	}
	defer js.Close()
	core := &Core{Server: server, Crew: crew}
	single := Load{Messages: 20, Size: 16, Publishers: 1, InFlight: 1}
	for _, test := range []struct {
		side    Side
		load    Load
		latency int64
	}{
		{core.Count("count"), Load{Messages: 501, Size: 100, Publishers: 2}, 0},
		{core.Count("count at a rate"), Load{Messages: 100, Size: 16, Publishers: 1, Rate: 1000}, 100},
		{js.Capture("capture"), Load{Messages: 300, Size: 16, Publishers: 1}, 0},
		{js.Publish("publish"), Load{Messages: 200, Size: 16, Publishers: 1, InFlight: 64}, 0},
		{js.Publish("single"), single, 20},
		{js.Read("read"), Load{Messages: 300, Size: 16, Publishers: 1}, 0},
		{js.Latency("latency"), Load{Messages: 100, Size: 16, Publishers: 1, Rate: 1000}, 100},
		{Disk("disk", t.TempDir()), Load{Messages: 3000, Size: 128, Publishers: 1}, 0},
	} {
		measured, err := Alternate(ctx, &test.load, 1, []Side{test.side})
		if err != nil {
			t.Fatal(err)
		}
		m := &measured[0][0]
		if m.Messages != test.load.Messages || m.Lost != 0 || m.Took <= 0 || m.Latency.Count != test.latency {
			t.Errorf("%s: got %+v, want all of %+v and %d latencies", test.side.Name, m, test.load, test.latency)
		}
		if due := time.Duration(max(0, test.load.Messages-2)) * time.Millisecond; test.load.Rate > 0 && (m.Took < due || m.Latency.P50 >= longestLatency) {
			t.Errorf("%s: got %+v, want messages that were a millisecond apart, and when they were due", test.side.Name, m)
		}
	}
}

// TestWorkersFail: whoever starts a worker is told what is wrong in its own words, and nothing is left running.
func TestWorkersFail(t *testing.T) {
	t.Parallel()
	const nobody = "nats://127.0.0.1:1"
	crew := crew(t)
	_, err := crew.Start(t.Context(), &Job{Task: TaskFlood, NATS: nobody})
	if err == nil || !strings.Contains(err.Error(), nobody) {
		t.Errorf("got %v, want an error that names %s", err, nobody)
	}
	if _, err := crew.Start(t.Context(), &Job{Task: "dance"}); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("got %v, want an error that names the task", err)
	}
	if _, err := (&Crew{Program: t.TempDir() + "/none"}).Start(t.Context(), &Job{}); err == nil {
		t.Error("got a worker of a program that does not exist")
	}
	var out bytes.Buffer
	if err := Work(t.Context(), strings.NewReader("no job\n"), &out); err == nil || out.Len() > 0 {
		t.Errorf("got %v and %q of what is no job", err, out.String())
	}
}

// TestWorkerEndsWithItsStdin: one that was not told to begin is not needed.
func TestWorkerEndsWithItsStdin(t *testing.T) {
	t.Parallel()
	w, err := crew(t).Start(t.Context(), &Job{Task: TaskServeNATS})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(w.Serves.NATS, "nats://127.0.0.1:") {
		t.Errorf("got %q, want where the server listens", w.Serves.NATS)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
