package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is due does not depend on what was published when, and the rate is kept to the nanosecond over any time.
func TestScheduleIsAnOpenLoop(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1000, 0)
	for _, test := range []struct {
		rate, n int64
		want    time.Duration
	}{
		{rate: 50_000, n: 0, want: 0},
		{rate: 50_000, n: 9, want: 0}, // ten are due together, every 200 µs
		{rate: 50_000, n: 10, want: 200 * time.Microsecond},
		{rate: 50_000, n: 50_000 * 3600, want: time.Hour},
		{rate: 3, n: 1, want: 333_333_333},
		{rate: 3, n: 3_000_000_000, want: 1_000_000_000 * time.Second},
	} {
		s := newSchedule(begun, test.rate)
		if got := s.due(test.n).Sub(begun); got != test.want {
			t.Errorf("rate %d: message %d is due after %s, want %s", test.rate, test.n, got, test.want)
		}
	}
	// One who is an hour late waits for nothing, and is told when the message was due.
	late := newSchedule(time.Now().Add(-time.Hour), 10)
	if due := late.await(0); time.Since(due) < time.Hour {
		t.Errorf("got due at %s, want an hour ago", due)
	}
}

func TestStampedPayloadTellsItsAge(t *testing.T) {
	t.Parallel()
	payload := make([]byte, stampSize)
	stamp(payload, time.Now().Add(-time.Minute))
	if d, ok := age(payload); !ok || d < time.Minute || d > 2*time.Minute {
		t.Errorf("got %s, %t, want a minute", d, ok)
	}
	if _, ok := age(payload[:7]); ok {
		t.Error("got an age of a payload that is too short to have one")
	}
}

// A histogram goes from process to process without loss, and two of them add up.
func TestHistogram(t *testing.T) {
	t.Parallel()
	h := NewHistogram()
	for i := range 1000 {
		h.Record(time.Duration(i+1) * time.Microsecond)
	}
	h.Record(-time.Second)
	h.Record(time.Hour)
	text, err := json.Marshal(Outcome{Latency: h})
	if err != nil {
		t.Fatal(err)
	}
	var back Outcome
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.Latency(), back.Latency.Latency()); diff != "" {
		t.Errorf("(-sent +received):\n%s", diff)
	}
	back.Latency.Add(h)
	l := back.Latency.Latency()
	if l.Count != 2004 {
		t.Errorf("got %d latencies of two histograms, want 2004", l.Count)
	}
	for _, near := range []struct{ got, want time.Duration }{
		{l.P50, 500 * time.Microsecond}, {l.P90, 900 * time.Microsecond}, {l.P99, 990 * time.Microsecond}, {l.Max, longestLatency},
	} {
		if off := float64(near.got-near.want) / float64(near.want); off < -0.003 || off > 0.003 {
			t.Errorf("got %s, want %s to three digits", near.got, near.want)
		}
	}
	if err := json.Unmarshal([]byte(`{"latency":"no histogram"}`), &back); err == nil {
		t.Error("got no error of what is no histogram")
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		figures []float64
		want    Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{9, 1, 2}, Spread{1, 2, 9}},
		{[]float64{4, 1, 9, 2}, Spread{1, 3, 9}},
	} {
		if got := NewSpread(test.figures); got != test.want {
			t.Errorf("%v: got %v, want %v", test.figures, got, test.want)
		}
	}
}

// Shares add up to the load, whatever does not divide, and publishers without a share do not exist.
func TestLoadIsShared(t *testing.T) {
	t.Parallel()
	for _, l := range []Load{
		{Messages: 10, Publishers: 3}, {Messages: 2, Publishers: 4}, {Messages: 7, Publishers: 1, Rate: 50}, {Messages: 100, Publishers: 3, Rate: 2},
	} {
		var messages, rate int64
		for _, job := range l.jobs(Job{Task: TaskFlood}) {
			messages, rate = messages+job.Messages, rate+job.Rate
			if job.Messages == 0 {
				t.Errorf("%+v: a publisher of nothing, which would be one without end", l)
			}
		}
		if rate != l.Rate || messages > l.Messages || l.Rate == 0 && messages != l.Messages {
			t.Errorf("%+v: got %d messages, %d a second", l, messages, rate)
		}
	}
	if jobs := (&Load{Publishers: 2, Time: time.Second}).jobs(Job{}); len(jobs) != 2 || jobs[0].Messages != 0 || jobs[0].Time != time.Second {
		t.Errorf("got %+v of a load that only time limits, want two such jobs", jobs)
	}
}

// Sides take turns, each round begins with another one, the warm-up is smaller and does not count, and all are prepared and
// finished once.
func TestAlternate(t *testing.T) {
	t.Parallel()
	var told []string
	side := func(name string) Side {
		tell := func(what string) { told = append(told, what+" "+name) }
		return Side{
			Name:    name,
			Prepare: func(context.Context, *Load) error { tell("prepare"); return nil },
			Measure: func(_ context.Context, l *Load) (Measurement, error) {
				tell(fmt.Sprint(l.Messages))
				return Measurement{Messages: l.Messages}, nil
			},
			Finish: func(context.Context) error { tell("finish"); return nil },
		}
	}
	measured, err := Alternate(t.Context(), &Load{Messages: 8}, 2, []Side{side("a"), side("b")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"prepare a", "prepare b", "2 a", "2 b", "8 b", "8 a", "8 a", "8 b", "finish a", "finish b"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(measured) != 2 || measured[0][0].Messages != 8 || measured[1][1].Messages != 8 {
		t.Errorf("got %+v, want two rounds of two sides", measured)
	}

	broken := side("c")
	failure := errors.New("no disk")
	broken.Measure = func(context.Context, *Load) (Measurement, error) { return Measurement{}, failure }
	told = nil
	_, err = Alternate(t.Context(), &Load{Messages: 8}, 2, []Side{side("a"), broken})
	if !errors.Is(err, failure) || !strings.Contains(err.Error(), "measure c") || !slices.Contains(told, "finish a") {
		t.Errorf("got %v after %q, want the failure, which side failed, and both finished", err, told)
	}
}

// Ratios are of the same round, and a figure that was not measured makes none.
func TestContestIsJudgedRoundByRound(t *testing.T) {
	t.Parallel()
	at := func(perSecond int64, p50 time.Duration) Measurement {
		return Measurement{Messages: perSecond, Took: time.Second, Latency: Latency{P50: p50}}
	}
	c := Contest{
		Name: "publish", Sides: []Side{{Name: "ours"}, {Name: "theirs"}},
		Pairings: []Pairing{{Ours: 0, Theirs: 1, Figure: FigureRate}, {Ours: 0, Theirs: 1, Figure: FigureP50}, {Ours: 0, Theirs: 1, Figure: FigureP99}},
	}
	v := c.judge([][]Measurement{
		{at(100, 4), at(50, 2)}, {at(200, 3), at(400, 2)}, {at(300, 6), at(100, 2)},
	})
	want := []Comparison{
		{Pairing: c.Pairings[0], OurFigure: Spread{100, 200, 300}, TheirFigure: Spread{50, 100, 400}, Ratio: Spread{0.5, 2, 3}},
		{Pairing: c.Pairings[1], OurFigure: Spread{3, 4, 6}, TheirFigure: Spread{2, 2, 2}, Ratio: Spread{1.5, 2, 3}},
		{Pairing: c.Pairings[2]},
	}
	if diff := cmp.Diff(want, v.Comparisons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A receiver that gets less than it wants ends all the same, and says how much it got.
func TestTallyOfLostMessages(t *testing.T) {
	t.Parallel()
	tally := newTally(&Job{Messages: 3, Rate: 1})
	payload := make([]byte, stampSize)
	stamp(payload, time.Now())
	tally.hear(payload)
	tally.hear(payload)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tally.await(ctx)
	if o := tally.outcome(); o.Messages != 2 || o.Latency.Latency().Count != 2 || o.Ended.IsZero() {
		t.Errorf("got %+v, want 2 messages with their latency", o)
	}
	tally.hear(payload)
	tally.await(t.Context()) // returns at once: all have come
	if o := tally.outcome(); o.Messages != 3 {
		t.Errorf("got %+v, want 3 messages", o)
	}
}
