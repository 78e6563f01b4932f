package main

import (
	"math"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "4096": 4096, "10MiB": 10 << 20, "10MB": 10e6, "10mib": 10 << 20, "3KiB": 3 << 10, "3kB": 3000,
		"2GiB": 2 << 30, "2GB": 2e9, "1TiB": 1 << 40, "1TB": 1e12, "7B": 7, "9223372036854775807": math.MaxInt64,
		"8388607TiB": 8388607 << 40,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "MiB", "-1", "+1", "1.5MiB", "10 MiB", "10M", "10XB", "0x10", "1e6", "9223372036854775808", "8388608TiB", "10MiBMiB", "B",
	} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 8 << 20: "8 MiB", 256 << 20: "256 MiB", 1 << 40: "1 TiB",
	} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": 36 * time.Hour, "0d": 0,
		"100ms": 100 * time.Millisecond, "1.5h": 90 * time.Minute, "106751d": 106751 * day,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "7", "d", "-7d", "7d-1h", "7d+1h", "-1s", "+1s", "1.5d", "7days", "7dd", "soon", "106752d", "106751d24h", "7d1d",
	} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0s": 0, "7d": 7 * day, "1d": day, "36h": 36 * time.Hour, "2m": 2 * time.Minute, "1h30m": 90 * time.Minute,
		"100ms": 100 * time.Millisecond, "1m30s": 90 * time.Second, "10h": 10 * time.Hour, "10m": 10 * time.Minute,
		"1h0m5s": time.Hour + 5*time.Second,
	} {
		got := formatDuration(d)
		if got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
		if again, err := parseDuration(got); err != nil || again != d {
			t.Errorf("%s reads as %v, %v, want %v", got, again, err, d)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 1, 31, 18, 0, 0, 120000000, time.UTC)
	for _, text := range []string{"2026-01-31T18:00:00.12Z", "2026-01-31T19:00:00.120+01:00", "2026-01-31T18:00:00.120000000Z"} {
		got, err := parseTime(text)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
		if text := formatTime(got); text != "2026-01-31T18:00:00.120000000Z" {
			t.Errorf("got %s, want all nine digits in UTC", text)
		}
	}
	for _, text := range []string{"", "2026-01-31", "2026-01-31 18:00:00Z", "2026-01-31T18:00:00", "now", "1769882400"} {
		if got, err := parseTime(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC)
	for text, want := range map[string]position{
		"new":                       {kind: atNew},
		"earliest":                  {kind: atEarliest},
		"latest":                    {kind: atLatest},
		"offset=0":                  {kind: atOffset},
		"offset=17":                 {kind: atOffset, offset: 17},
		"time=2026-01-31T18:00:00Z": {kind: atTime, time: at},
		"ago=7d":                    {kind: atAgo, ago: 7 * day},
		"last=10":                   {kind: atLast, last: 10},
		"cursor=a=b":                {kind: atCursor, cursor: "a=b"},
	} {
		var from fromFlag
		if err := from.Set(text); err != nil || from.position != want || from.String() != text {
			t.Errorf("--from %s: got %+v, %v, want %+v", text, from.position, err, want)
		}
		var to toFlag
		err := to.Set(text)
		if end := want.kind == atLatest || want.kind == atOffset || want.kind == atTime; end != (err == nil) {
			t.Errorf("--to %s: got %v, want an error: %t", text, err, !end)
		} else if end && to.position != want {
			t.Errorf("--to %s: got %+v, want %+v", text, to.position, want)
		}
	}
	for _, text := range []string{
		"", "New", "new=1", "earliest=", "latest=3", "offset", "offset=", "offset=x", "offset=-1", "offset=9223372036854775808",
		"time", "time=", "time=x", "ago=", "ago=-1h", "last=0", "last=-1", "last=", "cursor", "cursor=", "17", "=", "offset=1=2",
	} {
		if err := new(fromFlag).Set(text); err == nil {
			t.Errorf("--from %q: got no error", text)
		}
	}
}
