package fanout

import "time"

// hearing is what a fan-out knows of who hears it.
type hearing struct {
	there   *Listeners // as of askedAt; nil: not known
	askedAt time.Time
	now     time.Time // when the chunk had been read
	current bool      // there is not older than that

	subject string // that it was asked about last
	settled bool   // answer is about the chunk
	answer  bool
}

// believed is how long somebody who listened is believed to listen still: to publish for nobody costs less than to ask.
const believed = 100 * time.Millisecond

// begin is called when a chunk has been read: whoever begins to listen from now on came after all in it was committed.
func (h *hearing) begin(now time.Time) {
	h.now, h.settled, h.current = now, false, h.current && mutant("fanout-listeners-kept")
}

// heard says whether anybody but the stream, which would drop it, may hear what is published on the subject.
func (h *hearing) heard(subject string, config *Config) bool {
	if h.settled && h.subject == subject {
		return h.answer
	}
	h.subject, h.settled = subject, true
	somebody := h.there.Beside(config.Stream, subject)
	if h.current || somebody && h.now.Sub(h.askedAt) < believed {
		h.answer = somebody
		return h.answer
	}
	h.there, h.askedAt, h.current = config.Publisher.Listeners(), h.now, true
	h.answer = h.there.Beside(config.Stream, subject)
	return h.answer
}
