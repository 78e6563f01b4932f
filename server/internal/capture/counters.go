package capture

import "sync/atomic"

// Counters are what a Source did since it was made, for all streams together. They only grow.
type Counters struct {
	Captured        uint64 // messages handed to partitions
	Envelopes       uint64 // of these, in an envelope
	Refused         uint64 // messages not stored, by a rule or because a partition took nothing
	TooLarge        uint64 // of these, larger than the stream takes
	Acked           uint64 // positive answers handed to NATS
	Nacked          uint64 // negative answers handed to NATS
	AcksDropped     uint64 // answers that were not sent: too many, or NATS was away
	FanoutHeard     uint64 // fanned out messages of a stream that came back to it, and were dropped
	ForgedMarkers   uint64 // markers of a fan-out that did not verify
	BadHeaders      uint64 // messages whose headers could not be read
	Unrouted        uint64 // messages for a partition that is not captured here
	AudienceUnknown uint64 // times that it was not known who listens, where NATS tells at all
	Disconnects     uint64 // times that the connection was lost
	PendingBytes    uint64 // received and not captured yet, as of now: the only one that shrinks
	PendingAnswers  uint64 // answers not sent yet, as of now, and this one
}

type counters struct {
	captured, envelopes, refused, tooLarge, acked, nacked, acksDropped atomic.Uint64
	fanoutHeard, forgedMarkers, badHeaders, unrouted, disconnects      atomic.Uint64
}

// Counters as of now.
func (s *Source) Counters() Counters {
	c := &s.counters
	return Counters{
		Captured: c.captured.Load(), Envelopes: c.envelopes.Load(), Refused: c.refused.Load(), TooLarge: c.tooLarge.Load(),
		Acked: c.acked.Load(), Nacked: c.nacked.Load(), AcksDropped: c.acksDropped.Load(),
		FanoutHeard: c.fanoutHeard.Load(), ForgedMarkers: c.forgedMarkers.Load(), BadHeaders: c.badHeaders.Load(),
		Unrouted: c.unrouted.Load(), AudienceUnknown: s.audience.unknown.Load(), Disconnects: c.disconnects.Load(),
		PendingBytes: uint64(s.pending()), PendingAnswers: uint64(s.answers.waiting()),
	}
}
