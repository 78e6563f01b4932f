package main

import (
	"strconv"

	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// json is a report as one line.
func (r *benchReport) json() string {
	o := jsonObject{dst: []byte{'{'}}
	o.text("bench", r.kind)
	appendLoad(&o, &r.load)
	if r.kind != "read" {
		o.text("sync", r.sync)
	}
	if r.kind == contestPublish {
		o.name("fanout")
		o.dst = strconv.AppendBool(o.dst, r.fanout)
		o.number("listeners", int64(r.load.Listeners))
	}
	o.name("rounds")
	o.dst = append(o.dst, '[')
	for i, round := range r.rounds {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		p := jsonObject{dst: append(o.dst, '{')}
		if m := &round[len(round)-1]; r.kind == "capture" {
			appendCaptureRound(&p, round)
		} else {
			p.number("per_second", int64(m.PerSecond()))
			p.number("lost", m.Lost)
			if r.kind == contestPublish {
				p.number("heard", m.Heard)
			}
			appendLatency(&p, &m.Latency)
			appendUsage(&p, m)
		}
		o.dst = append(p.dst, '}')
	}
	return string(append(o.dst, "]}\n"...))
}

func appendLoad(o *jsonObject, l *loadtest.Load) {
	o.number("messages", l.Messages)
	o.number("size", int64(l.Size))
	o.number("publishers", int64(l.Publishers))
	o.number("in_flight", int64(l.InFlight))
	o.number("rate", l.Rate)
	o.text("time", formatDuration(l.Time))
}

func appendCaptureRound(o *jsonObject, round []loadtest.Measurement) {
	core, m := &round[0], &round[1]
	o.number("subscriber_per_second", int64(core.PerSecond()))
	o.number("subscriber_lost", core.Lost)
	o.number("written_per_second", int64(m.PerSecond()))
	o.number("capture_per_second", int64(m.CommittedPerSecond()))
	o.number("capture_lost", m.Lost)
	o.number("capture_gaps", int64(m.Gaps))
	appendFloat(o, "ratio", captureRatio(round))
	appendUsage(o, m)
}

// appendLatency writes durations as strings; null where latency was not measured.
func appendLatency(o *jsonObject, l *loadtest.Latency) {
	o.name("latency")
	if l.Count == 0 {
		o.dst = append(o.dst, "null"...)
		return
	}
	p := jsonObject{dst: append(o.dst, '{')}
	p.text("p50", l.P50.String())
	p.text("p90", l.P90.String())
	p.text("p99", l.P99.String())
	p.text("p99_9", l.P999.String())
	p.text("max", l.Max.String())
	o.dst = append(p.dst, '}')
}

// appendUsage writes what a server used; null where that is not known.
func appendUsage(o *jsonObject, m *loadtest.Measurement) {
	cpu := ""
	if m.Server.CPU > 0 {
		cpu = m.CPUPerMillion().String()
	}
	o.optionalText("server_cpu_per_million", cpu)
	o.name("server_peak_memory")
	if m.Server.PeakMemory > 0 {
		o.dst = strconv.AppendInt(o.dst, m.Server.PeakMemory, 10)
	} else {
		o.dst = append(o.dst, "null"...)
	}
	o.name("server_allocations_per_message")
	if m.Server.Allocations > 0 && m.Messages > 0 {
		o.dst = strconv.AppendFloat(o.dst, float64(m.Server.Allocations)/float64(m.Messages), 'f', 3, 64)
	} else {
		o.dst = append(o.dst, "null"...)
	}
	appendFloat(o, "client_allocations_per_message", float64(m.Allocations)/float64(max(1, m.Messages)))
}

func appendFloat(o *jsonObject, name string, f float64) {
	o.name(name)
	o.dst = strconv.AppendFloat(o.dst, f, 'f', 3, 64)
}
