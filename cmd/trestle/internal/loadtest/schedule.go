package loadtest

import (
	"encoding/binary"
	"time"
)

// scheduleStep is how often a publisher with a rate wakes up; what is due within a step is published together.
const scheduleStep = 200 * time.Microsecond

// schedule says when messages are due: an open loop. A publisher that falls behind publishes at once what is overdue, and
// as latency counts from when a message was due, whatever held it up is measured and not left out (coordinated omission;
// G. Tene, "How NOT to Measure Latency").
type schedule struct {
	begun time.Time
	rate  int64 // messages per second
	burst int64 // messages of a step
}

func newSchedule(begun time.Time, rate int64) schedule {
	return schedule{begun: begun, rate: rate, burst: max(1, rate*int64(scheduleStep)/int64(time.Second))}
}

// due is when message n is to be published, from 0.
func (s *schedule) due(n int64) time.Time {
	first := n - n%s.burst
	seconds, rest := first/s.rate, first%s.rate
	return s.begun.Add(time.Duration(seconds)*time.Second + time.Duration(rest*int64(time.Second)/s.rate))
}

// await returns when message n is due, once it is.
func (s *schedule) await(n int64) time.Time {
	due := s.due(n)
	if n%s.burst == 0 {
		if early := time.Until(due); early > 0 {
			pause(early)
		}
	}
	return due
}

// stampSize is the least size of a payload that says when it was due.
const stampSize = 8

// stamp writes into a payload when it was due, by the clock that all processes of a machine share.
func stamp(payload []byte, due time.Time) {
	binary.BigEndian.PutUint64(payload, uint64(due.UnixNano()))
}

// age is how long ago a payload was due. ok is false if it does not say.
func age(payload []byte) (d time.Duration, ok bool) {
	if len(payload) < stampSize {
		return 0, false
	}
	return time.Duration(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(payload))), true
}
