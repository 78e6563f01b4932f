package loadtest

import (
	"context"
	"time"
)

// Load is what every side of a comparison is put under alike.
type Load struct {
	Messages   int64 // of all publishers together; 0: as many as Time allows
	Size       int   // bytes of a payload
	Publishers int   // processes
	InFlight   int   // unacked messages of a publisher at most
	Listeners  int   // processes that hear on core NATS what is published for acks
	Rate       int64 // messages per second of all publishers together; 0: as fast as it goes
	// Time ends publishing for acks that is not done yet: those that wait for a disk are many times slower than others.
	// 0: no limit.
	Time time.Duration
}

// share is publisher i's part of the load.
func (l *Load) share(i int) (messages, rate int64) {
	part := func(whole int64) int64 {
		n := int64(l.Publishers)
		return whole/n + min(1, max(0, whole%n-int64(i)))
	}
	return part(l.Messages), part(l.Rate)
}

// jobs are the publishers' jobs, made from a pattern.
func (l *Load) jobs(pattern Job) []Job {
	pattern.Size, pattern.InFlight, pattern.Time = l.Size, l.InFlight, l.Time
	var all []Job
	for i := range l.Publishers {
		pattern.Messages, pattern.Rate = l.share(i)
		if l.Messages > 0 && pattern.Messages == 0 || l.Rate > 0 && pattern.Rate == 0 {
			continue // nothing is left for it
		}
		all = append(all, pattern)
	}
	return all
}

// Measurement is what one side did with a load, once.
type Measurement struct {
	Messages int64         // that were captured, acked or delivered
	Lost     int64         // that were published and are not among them
	Gaps     uint64        // with which a stream says so
	Took     time.Duration // from the first publish, or the call to read, to the last of Messages
	// Committed is Took to the point where all are committed, which means fsynced if the stream's sync is ack, and not
	// only written; 0: not measured.
	Committed time.Duration
	Latency   Latency
	Heard     int64 // messages that all listeners together heard
	Server    Usage
	// Allocations of the client that was measured, not of the server.
	Allocations int64
}

// PerSecond is the rate of messages.
func (m *Measurement) PerSecond() float64 { return rate(m.Messages, m.Took) }

// CommittedPerSecond is the rate of messages that were committed.
func (m *Measurement) CommittedPerSecond() float64 { return rate(m.Messages, m.Committed) }

// CPUPerMillion is the CPU time of the server for a million messages.
func (m *Measurement) CPUPerMillion() time.Duration {
	if m.Messages == 0 {
		return 0
	}
	return time.Duration(float64(m.Server.CPU) / float64(m.Messages) * 1e6)
}

func rate(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// Side is one way to handle a load.
type Side struct {
	Name    string
	Prepare func(ctx context.Context, l *Load) error // once, before all rounds; nil: nothing to do
	Measure func(ctx context.Context, l *Load) (Measurement, error)
	Finish  func(ctx context.Context) error // once, after all rounds; nil: nothing to do
}

// Alternate measures all sides round after round. Each round begins with another side, so that none is always the one that
// comes first. What the machine still has to write is written before each measurement. One more round with a part of the
// load warms up, and does not count. The result is by round, then by side.
func Alternate(ctx context.Context, l *Load, rounds int, sides []Side) (measured [][]Measurement, err error) {
	defer func() {
		for _, s := range sides {
			if s.Finish == nil {
				continue
			}
			if failed := s.Finish(ctx); err == nil {
				err = failed
			}
		}
	}()
	for _, s := range sides {
		if s.Prepare == nil {
			continue
		}
		if err := s.Prepare(ctx, l); err != nil {
			return nil, sideError(s.Name, err)
		}
	}
	warm := *l
	warm.Messages, warm.Time = (l.Messages+3)/4, l.Time/4
	for round := range rounds + 1 {
		now := l
		if round == 0 {
			now = &warm
		}
		row := make([]Measurement, len(sides))
		for turn := range sides {
			i := (turn + round) % len(sides)
			settle()
			if row[i], err = sides[i].Measure(ctx, now); err != nil {
				return nil, sideError(sides[i].Name, err)
			}
		}
		if round > 0 {
			measured = append(measured, row)
		}
	}
	return measured, nil
}
