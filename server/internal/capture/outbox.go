package capture

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what waits to be sent.
const (
	maxAnswers     = 1 << 16
	maxAnswerBytes = 16 << 20
	// answersAtOnce is about how many bytes of answers go out in one write.
	answersAtOnce = 64 << 10
)

// maxAnswerRate is how many answers a second a stream sends, and how many at once after a rest: whoever can publish can
// name any subject for the answer, and must not make a broker flood it.
const maxAnswerRate = 200_000

// answer is a message that goes out.
type answer struct {
	subject string
	body    []byte
	sent    *atomic.Uint64
}

// sender is the way to NATS.
type sender interface {
	Send(commands []byte) error
	MaxPayload() int
}

// outbox sends answers, in a goroutine of its own and in order. It is bounded, and drops the newest: whoever waits for an
// answer and gets none does not know the outcome, which is true. Nobody waits for it.
type outbox struct {
	to      sender
	dropped *atomic.Uint64
	done    chan struct{} // closed when run has ended

	mu     sync.Mutex
	some   sync.Cond
	queue  []answer
	bytes  int
	closed bool
}

func newOutbox(to sender, dropped *atomic.Uint64) *outbox {
	o := &outbox{to: to, dropped: dropped, done: make(chan struct{})}
	o.some.L = &o.mu
	return o
}

// put takes an answer in, or drops it.
func (o *outbox) put(a answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || !mutant("capture-answers-unbounded") && (len(o.queue) >= maxAnswers || o.bytes+len(a.body) > maxAnswerBytes) {
		o.dropped.Add(1)
		return
	}
	o.queue = append(o.queue, a)
	o.bytes += len(a.body)
	o.some.Signal()
}

func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

// run sends what was put until close is called: what waits together goes out in few writes.
func (o *outbox) run() {
	defer close(o.done)
	var commands []byte
	for {
		o.mu.Lock()
		for len(o.queue) == 0 && !o.closed {
			o.some.Wait()
		}
		batch := o.queue
		if len(batch) == 0 {
			o.mu.Unlock()
			return
		}
		o.queue, o.bytes = nil, 0
		o.mu.Unlock()
		for len(batch) > 0 {
			n := 0
			n, commands = appendAnswers(commands[:0], batch, o.to.MaxPayload(), o.dropped)
			o.send(batch[:n], commands)
			batch = batch[n:]
		}
		if cap(commands) > 2*answersAtOnce {
			commands = nil
		}
	}
}

// appendAnswers appends the commands that publish the first n of the answers, about answersAtOnce bytes of them. Those that are
// larger than any message that NATS takes are left out, and count as dropped.
func appendAnswers(dst []byte, answers []answer, largest int, dropped *atomic.Uint64) (n int, commands []byte) {
	for n < len(answers) && len(dst) < answersAtOnce {
		a := &answers[n]
		n++
		if len(a.body) > largest {
			a.sent = dropped
			continue
		}
		dst = append(append(dst, "PUB "...), a.subject...)
		dst = strconv.AppendInt(append(dst, ' '), int64(len(a.body)), 10)
		dst = append(append(dst, "\r\n"...), a.body...)
		dst = append(dst, "\r\n"...)
	}
	return n, dst
}

// send sends the commands that the answers became, and counts them. While NATS is away nothing is kept for later.
func (o *outbox) send(answers []answer, commands []byte) {
	err := o.to.Send(commands)
	for i := range answers {
		if err != nil {
			answers[i].sent = o.dropped
		}
		answers[i].sent.Add(1)
	}
}

// close has what was put sent, and ends run.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.some.Signal()
	o.mu.Unlock()
	<-o.done
}

// send puts an answer of the stream into the outbox, within its rate.
func (r *route) send(subject string, body []byte, sent *atomic.Uint64) {
	if body == nil || !r.rate.take(time.Now()) {
		r.source.counters.acksDropped.Add(1)
		return
	}
	r.source.answers.put(answer{subject: subject, body: body, sent: sent})
}

// rate is a bucket of tokens, maxAnswerRate a second.
type rate struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func (r *rate) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.IsZero() {
		r.tokens = maxAnswerRate
	} else if now.After(r.last) {
		r.tokens = min(maxAnswerRate, r.tokens+now.Sub(r.last).Seconds()*maxAnswerRate)
	}
	r.last = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}
