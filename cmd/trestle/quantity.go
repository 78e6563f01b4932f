package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// sizeUnits in the order in which a size is printed; the longer names first, so that "KiB" is not taken for "B".
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// parseSize reads 10MiB, 10MB or a plain number of bytes. Units may be written in any case.
func parseSize(text string) (int64, error) {
	number, factor := text, int64(1)
	for _, unit := range sizeUnits {
		if n := len(text) - len(unit.name); n > 0 && strings.EqualFold(text[n:], unit.name) {
			number, factor = text[:n], unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return 0, &misuse{message: "not a size", remedy: "write 10MiB, 10MB or a number of bytes"}
	}
	if int64(n) > math.MaxInt64/factor {
		return 0, &misuse{message: "too large for a size", remedy: "sizes end at 8388607TiB"}
	}
	return int64(n) * factor, nil
}

// formatSize prints whole binary units where there are any, else a number with one decimal.
func formatSize(n int64) string {
	for _, unit := range sizeUnits[:4] {
		switch {
		case n >= unit.bytes && n%unit.bytes == 0:
			return fmt.Sprintf("%d %s", n/unit.bytes, unit.name)
		case n >= unit.bytes:
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// parseDuration reads Go durations and days: 90s, 1h30m, 7d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	wrong := &misuse{message: "not a duration", remedy: "write 90s, 12h or 7d"}
	var days time.Duration
	rest := text
	if number, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || time.Duration(n) > math.MaxInt64/day {
			return 0, wrong
		}
		days, rest = time.Duration(n)*day, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > math.MaxInt64-days || strings.HasPrefix(rest, "+") {
		return 0, wrong
	}
	return days + d, nil
}

// formatDuration prints days where there are whole ones, and no empty units.
func formatDuration(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// parseTime reads RFC 3339, with or without a fraction.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, &misuse{
			message: "not a time in RFC 3339",
			remedy:  "write 2026-01-31T18:00:00Z, or 2026-01-31T19:00:00.5+01:00",
		}
	}
	return t, nil
}

// timeLayout is RFC 3339 with all nine digits: times sort as text, and none loses its nanoseconds.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }
