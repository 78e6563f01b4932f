package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// heading says what is compared, and when which side fsyncs.
func (v *versus) heading(o *bench, r *opponents) string {
	text := "Trestle: " + o.told + "; acks of sync ack are fsynced\n"
	if v.rival == rivalCore {
		return text + "core NATS: " + r.core.Server.NATS + "; keeps nothing. The disk: the payloads alone, in a file\n"
	}
	if v.rival == rivalLiftbridge {
		return text + "Liftbridge: gRPC on " + r.liftbridge.Server.Addr + ", data in " + r.folders[0] + "; never fsyncs\n"
	}
	return text +
		"JetStream: " + r.plain.Server.NATS + ", data in " + r.folders[0] + "; fsyncs every 2 minutes\n" +
		"JetStream, sync always: " + r.syncAlways.Server.NATS + ", data in " + r.folders[1] + "; fsyncs before each ack\n"
}

// verdictText is a table of what each side did, and one of how they compare.
func verdictText(v *loadtest.Verdict) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s: %s, %s\n\n", v.Name, verdictLoadText(v), counted(len(v.Rounds), "round"))
	text.WriteString(sidesTable(v) + "\n")
	ratios := newBenchTable("COMPARED", "BY", "RATIO", "MIN", "MAX", "BETTER IS")
	for _, c := range v.Comparisons {
		better := "more"
		if c.Figure.LessIsBetter() {
			better = "less"
		}
		ratios.row(v.Sides[c.Ours]+" / "+v.Sides[c.Theirs], string(c.Figure), fmt.Sprintf("%.2f", c.Ratio.Median),
			fmt.Sprintf("%.2f", c.Ratio.Min), fmt.Sprintf("%.2f", c.Ratio.Max), better)
	}
	text.WriteString(ratios.String())
	return text.String()
}

// verdictLoadText is the load in words, as far as it matters to a contest.
func verdictLoadText(v *loadtest.Verdict) string {
	switch l := &v.Load; v.Name {
	case contestSingle:
		return fmt.Sprintf("messages of %s bytes, one at a time, for %s", count(l.Size), formatDuration(l.Time))
	case contestPublish:
		return loadText(l, v.Name)
	default:
		timeless := *l
		timeless.Time = 0
		return loadText(&timeless, v.Name)
	}
}

// verdictJSON is one line for a contest.
func verdictJSON(rival string, v *loadtest.Verdict) string {
	o := jsonObject{dst: []byte{'{'}}
	o.text("bench", "vs "+rival)
	o.text("contest", v.Name)
	appendLoad(&o, &v.Load)
	if v.Name == contestPublish {
		o.number("listeners", int64(v.Load.Listeners))
	}
	o.name("sides")
	o.dst = append(o.dst, '[')
	for i, name := range v.Sides {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		side := jsonObject{dst: append(o.dst, '{')}
		side.text("name", name)
		side.name("rounds")
		side.dst = append(side.dst, '[')
		for n, round := range v.Rounds {
			if n > 0 {
				side.dst = append(side.dst, ',')
			}
			m := &round[i]
			p := jsonObject{dst: append(side.dst, '{')}
			p.number("per_second", int64(m.PerSecond()))
			if m.Committed > 0 {
				p.number("committed_per_second", int64(m.CommittedPerSecond()))
			}
			p.number("lost", m.Lost)
			if v.Name == contestPublish {
				p.number("heard", m.Heard)
			}
			appendLatency(&p, &m.Latency)
			appendUsage(&p, m)
			side.dst = append(p.dst, '}')
		}
		o.dst = append(side.dst, "]}"...)
	}
	o.dst = append(o.dst, ']')
	o.name("comparisons")
	o.dst = append(o.dst, '[')
	for i := range v.Comparisons {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendComparison(o.dst, v, &v.Comparisons[i])
	}
	return string(append(o.dst, "]}\n"...))
}

func appendComparison(dst []byte, v *loadtest.Verdict, c *loadtest.Comparison) []byte {
	o := jsonObject{dst: append(dst, '{')}
	o.text("ours", v.Sides[c.Ours])
	o.text("theirs", v.Sides[c.Theirs])
	o.text("by", string(c.Figure))
	o.name("less_is_better")
	o.dst = strconv.AppendBool(o.dst, c.Figure.LessIsBetter())
	appendFloat(&o, "ratio", c.Ratio.Median)
	appendFloat(&o, "min", c.Ratio.Min)
	appendFloat(&o, "max", c.Ratio.Max)
	return append(o.dst, '}')
}
