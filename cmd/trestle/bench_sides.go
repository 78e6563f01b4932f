package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// sideColumn is a column of the table of what each side did: the median of a figure over all rounds.
type sideColumn struct {
	title  string
	figure func(*loadtest.Measurement) float64
	text   func(float64) string
	worst  bool   // the least of all rounds instead
	none   string // what stands for 0; "": nothing was measured, and the column is left out where no side has the figure
}

func sideColumns(v *loadtest.Verdict) []sideColumn {
	rate := func(figure float64) string { return perSecond(figure) }
	latency := func(figure float64) string { return latencyText(time.Duration(figure)) }
	return []sideColumn{
		{title: "RATE", figure: loadtest.FigureRate.Of, text: rate, none: unknown},
		{title: "COMMITTED", figure: (*loadtest.Measurement).CommittedPerSecond, text: rate},
		{title: "LOST", figure: lostShare, text: func(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }, none: "0"},
		{title: "P50", figure: loadtest.FigureP50.Of, text: latency},
		{title: "P99", figure: loadtest.FigureP99.Of, text: latency},
		{title: "SERVER CPU/MILLION", figure: cpuSeconds, text: func(seconds float64) string { return fmt.Sprintf("%.2fs", seconds) }, none: unknown},
		{title: "PEAK MEMORY", figure: peakMemory, text: func(size float64) string { return formatSize(int64(size)) }, none: unknown},
		{title: heardColumn, figure: func(m *loadtest.Measurement) float64 { return heardShare(&v.Load, m) }, text: heardText, worst: true},
	}
}

// sidesTable is what each side did, by its medians.
func sidesTable(v *loadtest.Verdict) string {
	titles, rows := []string{"MEDIANS"}, make([][]string, len(v.Sides))
	for i, name := range v.Sides {
		rows[i] = []string{name}
	}
	for _, column := range sideColumns(v) {
		cells, measured := make([]string, len(rows)), column.none != ""
		for i := range cells {
			cells[i] = cmp.Or(column.none, unknown)
			spread := loadtest.SpreadOf(v.Rounds, i, column.figure)
			figure := spread.Median
			if column.worst {
				figure = spread.Min
			}
			if figure != 0 {
				cells[i], measured = column.text(figure), true
			}
		}
		if !measured {
			continue
		}
		titles = append(titles, column.title)
		for i := range rows {
			rows[i] = append(rows[i], cells[i])
		}
	}
	table := newBenchTable(titles...)
	for _, row := range rows {
		table.row(row...)
	}
	return table.String()
}

func lostShare(m *loadtest.Measurement) float64 {
	return float64(m.Lost) / float64(max(1, m.Messages+m.Lost))
}

func cpuSeconds(m *loadtest.Measurement) float64 { return m.CPUPerMillion().Seconds() }

func peakMemory(m *loadtest.Measurement) float64 { return float64(m.Server.PeakMemory) }
