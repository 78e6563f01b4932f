package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// benchReport is what came of measuring a server with one kind of load.
type benchReport struct {
	kind, server, sync string
	fanout             bool
	load               loadtest.Load
	// rounds of measurements: of the server last, before it of what it is compared with.
	rounds [][]loadtest.Measurement
}

// benchTable is a table for people.
type benchTable struct {
	text strings.Builder
	tabs *tabwriter.Writer
}

func newBenchTable(columns ...string) *benchTable {
	t := &benchTable{}
	t.tabs = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	t.row(columns...)
	return t
}

func (t *benchTable) row(cells ...string) {
	// A strings.Builder takes all that is written to it.
	_, _ = fmt.Fprintln(t.tabs, strings.Join(cells, "\t"))
}

func (t *benchTable) String() string {
	_ = t.tabs.Flush()
	return t.text.String()
}

func (r *benchReport) text() string {
	var text strings.Builder
	fmt.Fprintf(&text, "bench %s: %s\n%s\n\n", r.kind, r.server, loadText(&r.load, r.kind))
	ours := len(r.rounds[0]) - 1
	columns := append([]string{"ROUND"}, benchColumns[r.kind]...)
	if r.kind == contestPublish && r.load.Listeners > 0 {
		columns = append(columns, heardColumn)
	}
	table := newBenchTable(append(columns, "SERVER CPU/MILLION", "PEAK MEMORY", "ALLOCATIONS/MESSAGE")...)
	for i, round := range r.rounds {
		m := &round[ours]
		cells := []string{strconv.Itoa(i + 1)}
		switch r.kind {
		case "capture":
			core := &round[0]
			cells = append(cells, perSecond(core.PerSecond()), count(core.Lost), perSecond(m.PerSecond()), perSecond(m.CommittedPerSecond()),
				count(m.Lost), count(m.Gaps), fmt.Sprintf("%.2f", captureRatio(round)))
		case "latency":
			cells = append(cells, latencyCells(&m.Latency)...)
			cells = append(cells, count(m.Lost))
		case "publish":
			cells = append(append(cells, perSecond(m.PerSecond()), count(m.Lost)), latencyCells(&m.Latency)...)
			if r.load.Listeners > 0 {
				cells = append(cells, heardText(heardShare(&r.load, m)))
			}
		default:
			cells = append(cells, perSecond(m.PerSecond()), count(m.Lost))
		}
		table.row(append(cells, cpuText(m), memoryText(m), allocationsText(m))...)
	}
	return text.String() + table.String()
}

// benchColumns are the columns of a kind's table, between the round and what the server used.
var benchColumns = map[string][]string{
	"capture": {"SUBSCRIBER", "LOST", "WRITTEN", "CAPTURE", "LOST", "GAPS", "CAPTURE/SUBSCRIBER"},
	"publish": {"ACKED", "FAILED", "P50", "P90", "P99", "P99.9", "MAX"},
	"read":    {"READ", "LOST"},
	"latency": {"P50", "P90", "P99", "P99.9", "MAX", "LOST"},
}

// loadText is the load in words.
func loadText(l *loadtest.Load, kind string) string {
	text := fmt.Sprintf("%s messages of %s bytes", count(l.Messages), count(l.Size))
	if kind != "read" {
		text += " from " + counted(l.Publishers, "publisher")
	}
	if kind == "publish" {
		text += fmt.Sprintf(", %s in flight", count(l.InFlight))
	}
	if kind == "publish" && l.Listeners > 0 {
		text += ", " + counted(l.Listeners, "listener")
	}
	if l.Rate > 0 {
		text += fmt.Sprintf(", %s a second", count(l.Rate))
	}
	if l.Time > 0 {
		text += fmt.Sprintf(", or as many as %s allows", formatDuration(l.Time))
	}
	return text
}

// counted is a number of things, of which there is a plural.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// heardColumn is what each listener heard of what was acked.
const heardColumn = "HEARD"

// heardShare is which part of what was acked a listener heard, in the mean; 0: none, or nobody listened.
func heardShare(l *loadtest.Load, m *loadtest.Measurement) float64 {
	if l.Listeners == 0 || m.Messages == 0 {
		return 0
	}
	return float64(m.Heard) / float64(m.Messages*int64(l.Listeners))
}

// heardText rounds down: 100 % is all.
func heardText(share float64) string {
	if share == 0 {
		return unknown
	}
	return strconv.FormatFloat(math.Floor(share*1e5)/1e3, 'f', -1, 64) + "%"
}

// captureRatio is the rate of capturing, until all is committed, to that of a core NATS subscriber.
func captureRatio(round []loadtest.Measurement) float64 {
	core := round[0].PerSecond()
	if core == 0 {
		return 0
	}
	return round[1].CommittedPerSecond() / core
}

// unknown stands for what was not measured.
const unknown = "-"

func perSecond(rate float64) string { return count(int64(rate)) + "/s" }

func latencyCells(l *loadtest.Latency) []string {
	var cells []string
	for _, d := range []time.Duration{l.P50, l.P90, l.P99, l.P999, l.Max} {
		cells = append(cells, latencyText(d))
	}
	return cells
}

// latencyText keeps three digits, which is what a histogram has.
func latencyText(d time.Duration) string {
	if d == 0 {
		return unknown
	}
	unit := time.Nanosecond
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

func cpuText(m *loadtest.Measurement) string {
	if m.Server.CPU == 0 {
		return unknown
	}
	return fmt.Sprintf("%.2fs", m.CPUPerMillion().Seconds())
}

func memoryText(m *loadtest.Measurement) string {
	if m.Server.PeakMemory == 0 {
		return unknown
	}
	return formatSize(m.Server.PeakMemory)
}

// allocationsText are those of the server for a message.
func allocationsText(m *loadtest.Measurement) string {
	if m.Server.Allocations == 0 || m.Messages == 0 {
		return unknown
	}
	return fmt.Sprintf("%.2f", float64(m.Server.Allocations)/float64(m.Messages))
}
