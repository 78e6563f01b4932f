package capture

import (
	"time"

	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// answerable says whether answers go to that subject: a literal one, and none of NATS's own (interfaces.md 3.10).
func answerable(subject string) bool {
	return (subject[0] != '$' || mutant("capture-answers-to-nats")) && names.Literal(subject) == nil
}

// answer tells whoever published a message what became of it. It is called from goroutines of the partition and does not
// block.
func (r *route) answer(t *taker, a *ask, ack *partition.Ack, err error) {
	if err != nil {
		why := refusalOf(err)
		if mutant("capture-unknown-refused") && why == nil {
			why = refuse(reasonFailed, "unknown")
		}
		if why != nil {
			r.refuse(t, a, why)
		}
		return // of an unknown outcome nothing is said: a "no" could be wrong
	}
	if a == nil || a.inbox != "" && a.policy != envelope.AckLeader && a.policy != envelope.AckAll {
		return
	}
	if a.inbox != "" {
		offset, _ := offsetOf(ack)
		r.send(a.inbox, r.envelopeAck(t, a, offset, nil), &r.source.counters.acked)
		return
	}
	body, err := pubAckOf(t.settings.Now().Stream, ack)
	if err == nil {
		r.send(a.reply, body, &r.source.counters.acked)
	}
}

// refuse tells whoever published a message that it is not stored. A negative ack does not depend on the policy.
func (r *route) refuse(t *taker, a *ask, why *refusal) {
	r.source.counters.refused.Add(1)
	switch {
	case a == nil:
	case a.inbox != "":
		r.send(a.inbox, r.envelopeAck(t, a, 0, why), &r.source.counters.nacked)
	default:
		if body, err := pubAckRefusal(t.settings.Now().Stream, why); err == nil {
			r.send(a.reply, body, &r.source.counters.nacked)
		}
	}
}

func (r *route) envelopeAck(t *taker, a *ask, offset int64, why *refusal) []byte {
	ack := envelope.Ack{
		Stream: []byte(t.settings.Now().Stream), PartitionSubject: []byte(r.subject), Subject: []byte(a.subject),
		Offset: offset, AckInbox: []byte(a.inbox), CorrelationID: a.correlation, AckPolicy: a.policy,
		ReceptionTime: a.received, CommitTime: time.Now().UnixNano(),
	}
	if why != nil {
		ack.Error, ack.Reason, ack.CommitTime = why.ackError(), []byte(why.text), 0
	}
	frame, err := ack.Marshal()
	if err != nil { // larger than any message was
		return nil
	}
	return frame
}
