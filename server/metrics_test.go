package server_test

import (
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
)

// get asks the broker over HTTP and returns the code and the body.
func (k *kit) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+k.Brokers[0].Ready().HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// measured is the value of a series, such as trestle_ready or trestle_stream_messages{stream="a"}.
func measured(t *testing.T, text, series string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("there is no series %s in\n%s", series, text)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// awaitMetrics waits until each series has its value, and some are more than nothing: a message is counted once it is passed on,
// so whoever has read it may be there first.
func (k *kit) awaitMetrics(t *testing.T, want map[string]float64, some ...string) {
	t.Helper()
	looks := time.NewTicker(10 * time.Millisecond)
	defer looks.Stop()
	for late := time.After(patience); ; {
		code, text := k.get(t, "/metrics")
		if code != http.StatusOK {
			t.Fatalf("got %d %s", code, text)
		}
		got := map[string]float64{}
		for series := range want {
			got[series] = measured(t, text, series)
		}
		nothing := slices.DeleteFunc(slices.Clone(some), func(series string) bool { return measured(t, text, series) > 0 })
		if maps.Equal(got, want) && len(nothing) == 0 {
			return
		}
		select {
		case <-looks.C:
		case <-late:
			t.Fatalf("nothing in %q; (-want +got):\n%s", nothing, cmp.Diff(want, got))
		}
	}
}

// What a broker does shows in its metrics.
func TestMetrics(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.create(t, "orders", "orders.*")
	k.publish(t, &nats.Msg{Subject: "orders.1", Data: []byte("captured")}, &nats.Msg{Subject: "orders.2", Data: []byte("captured")})
	if _, err := s.Publish(t.Context(), []byte("published")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(t.Context(), []byte("refused"), client.ExpectNext(99)); err == nil {
		t.Fatal("a publish that expects another offset was not refused")
	}
	read(t, s, 3, client.FromEarliest())
	if err := s.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.awaitMetrics(t, map[string]float64{
		"trestle_ready": 1, "trestle_metadata_leading": 1,
		"trestle_captured_messages_total": 2, "trestle_nats_unrouted_total": 0, "trestle_publishes_refused_total": 1,
		"trestle_ack_seconds_count":                                                                 1,
		`trestle_stream_messages{stream="orders"}`:                                                  3,
		`trestle_stream_messages_total{stream="orders"}`:                                            3,
		`trestle_stream_partitions{stream="orders"}`:                                                1,
		`trestle_stream_faults{stream="orders"}`:                                                    0,
		`trestle_stream_dedup_window_seconds{stream="orders"}`:                                      120,
		`trestle_gaps_total{cause="ring_overflow"}`:                                                 0,
		`trestle_dedup_limit_bytes`:                                                                 256 << 20,
		`trestle_broker_info{cluster="trestle",id="` + k.Brokers[0].Ready().ID + `",version="dev"}`: 1,
	},
		"trestle_records_appended_total", "trestle_batches_appended_total", "trestle_appended_bytes_total", "trestle_written_bytes_total",
		"trestle_read_bytes_total", "trestle_sync_seconds_count", "trestle_disk_free_bytes", "trestle_file_cache_limit",
		"trestle_metadata_applied_index", `trestle_gaps_total{cause="paused"}`, `trestle_stream_bytes{stream="orders"}`, "go_goroutines")
}

// What is fanned out is counted, and what could not be.
func TestFanoutMetrics(t *testing.T) {
	t.Parallel()
	k := start(t)
	s := k.createAs(t, client.StreamConfig{Name: "orders", Subjects: []string{"orders"}, Fanout: true})
	m := client.Message{Value: []byte("v"), Headers: []client.HeaderField{{Name: "no token", Value: []byte("1")}}}
	if _, err := s.PublishMessage(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	k.awaitMetrics(t, map[string]float64{"trestle_fanout_unheard_total": 1, "trestle_fanout_messages_total": 0})
	heard, err := k.nats.SubscribeSync("orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.nats.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PublishMessage(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, err := heard.NextMsg(patience); err != nil {
		t.Fatal(err)
	}
	k.awaitMetrics(t, map[string]float64{
		"trestle_fanout_messages_total": 1, "trestle_fanout_unheard_total": 1, "trestle_fanout_dropped_total": 0, "trestle_fanout_without_subject_total": 0,
		"trestle_fanout_dropped_headers_total": 1,
	})
}

// A broker that captures and serves lives and is ready.
func TestReady(t *testing.T) {
	t.Parallel()
	k := start(t)
	for _, path := range []string{"/livez", "/readyz"} {
		if code, text := k.get(t, path); code != http.StatusOK {
			t.Errorf("%s: got %d %s", path, code, text)
		}
	}
}
