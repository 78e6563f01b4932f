package loadtest

import (
	"context"
	"slices"
)

// Figure is what two sides are compared by.
type Figure string

// The figures.
const (
	FigureRate          Figure = "rate"           // messages per second: more is better
	FigureCommittedRate Figure = "committed rate" // messages per second, committed: more is better
	FigureP50           Figure = "p50"            // of latency, in nanoseconds: less is better
	FigureP99           Figure = "p99"            // of latency, in nanoseconds: less is better
)

// LessIsBetter says which way a figure points.
func (f Figure) LessIsBetter() bool { return f == FigureP50 || f == FigureP99 }

// Of is the figure of a measurement; 0: it was not measured.
func (f Figure) Of(m *Measurement) float64 {
	switch f {
	case FigureCommittedRate:
		if m.Committed == 0 {
			return m.PerSecond() // nothing waits to be committed
		}
		return m.CommittedPerSecond()
	case FigureP50:
		return float64(m.Latency.P50)
	case FigureP99:
		return float64(m.Latency.P99)
	default:
		return m.PerSecond()
	}
}

// Pairing compares two sides of a contest by a figure.
type Pairing struct {
	Ours, Theirs int // which sides
	Figure       Figure
}

// Contest has sides handle the same load, alternating, and compares them.
type Contest struct {
	Name     string
	Load     Load
	Sides    []Side
	Pairings []Pairing
}

// Verdict is what came of a contest.
type Verdict struct {
	Name        string
	Load        Load
	Sides       []string
	Rounds      [][]Measurement // by round, then by side
	Comparisons []Comparison
}

// Comparison is a pairing with its figures.
type Comparison struct {
	Pairing
	OurFigure, TheirFigure Spread
	// Ratio is of ours to theirs in the same round.
	Ratio Spread
}

// Hold runs a contest.
func (c *Contest) Hold(ctx context.Context, rounds int) (*Verdict, error) {
	measured, err := Alternate(ctx, &c.Load, rounds, c.Sides)
	if err != nil {
		return nil, err
	}
	return c.judge(measured), nil
}

// judge compares what was measured.
func (c *Contest) judge(measured [][]Measurement) *Verdict {
	v := &Verdict{Name: c.Name, Load: c.Load, Rounds: measured}
	for _, s := range c.Sides {
		v.Sides = append(v.Sides, s.Name)
	}
	for _, p := range c.Pairings {
		var ours, theirs, ratios []float64
		for _, round := range measured {
			our, their := p.Figure.Of(&round[p.Ours]), p.Figure.Of(&round[p.Theirs])
			ours, theirs = append(ours, our), append(theirs, their)
			if their > 0 {
				ratios = append(ratios, our/their)
			}
		}
		v.Comparisons = append(v.Comparisons, Comparison{
			Pairing: p, OurFigure: NewSpread(ours), TheirFigure: NewSpread(theirs), Ratio: NewSpread(ratios),
		})
	}
	return v
}

// Spread is how far figures lie apart. The zero value is that of no figures.
type Spread struct{ Min, Median, Max float64 }

// NewSpread sums figures up. The median of an even number is the mean of the two in the middle.
func NewSpread(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return Spread{Min: sorted[0], Median: median, Max: sorted[len(sorted)-1]}
}

// SpreadOf sums up a figure of one side over all rounds.
func SpreadOf(rounds [][]Measurement, side int, figure func(*Measurement) float64) Spread {
	var figures []float64
	for _, round := range rounds {
		figures = append(figures, figure(&round[side]))
	}
	return NewSpread(figures)
}
