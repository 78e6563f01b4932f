package replication

import "github.com/trestlehq/trestle/commitlog"

// lagClock knows where the leader's log ended a lag time ago. A follower that is safe up to there is caught up: it was at
// the leader's end at some moment since (Kafka's lastCaughtUpTime, KIP-16). Progress that never gets there does not count.
type lagClock struct {
	nanos   int64
	samples []lagSample // ascending in both; the first is the newest that is a lag time old, if one is
}

type lagSample struct {
	at  int64
	end commitlog.Position
}

// lagSamples is how many samples a lag time has at most. By a sample's width a follower gets more time than it should.
const lagSamples = 16

// sample takes note of where the log ends now.
func (c *lagClock) sample(end commitlog.Position, now int64) {
	n := len(c.samples)
	if n > 0 && now-c.samples[n-1].at < c.nanos/lagSamples {
		return
	}
	c.samples = append(c.samples, lagSample{at: now, end: end})
	old := 0
	for old+1 < len(c.samples) && now-c.samples[old+1].at >= c.nanos {
		old++
	}
	c.samples = append(c.samples[:0], c.samples[old:]...)
}

// due is how far a follower has to be safe so as to be caught up now; the start of any log while the leadership is
// younger than a lag time.
func (c *lagClock) due(now int64) commitlog.Position {
	var due commitlog.Position
	for _, s := range c.samples {
		if now-s.at >= c.nanos {
			due = s.end
		}
	}
	return due
}
