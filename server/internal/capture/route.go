package capture

import (
	"encoding/base64"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/metadata/names"
	"github.com/trestlehq/trestle/proto/batch"
	"github.com/trestlehq/trestle/server/internal/fanout"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// route is where the messages of one subscription go: to the partition that made it, or to those that share it.
type route struct {
	source  *Source
	subject string         // pattern
	target  Target         // of whoever made it
	rate    *rate          // of answers, of the whole stream
	marker  *fanout.Marker // of who hands messages on; nil: none has come with a marker
	key     []byte         // of a message that came with one
	sub     *nats.Subscription
	sid     int64 // of sub
	// standing is whether NATS has refused it; confirmed that NATS has seen it, guarded by listening.mu.
	standing  standing
	confirmed bool
	active    int // takers that are not leaving; guarded by Source.mu

	// takers are replaced, not changed; Source.mu is held for that.
	takers atomic.Pointer[takers]
}

// takers of a route, by partition; a route that is not shared has one.
type takers struct {
	list []*taker
	// partitions are what messages are shared out among: a stream that grows shares out among more of them once all capture.
	partitions int32
}

// taker is the capture of one partition.
type taker struct {
	sink      Sink
	settings  *Live
	partition int32
	left      atomic.Bool  // it captures no longer; why, its log says
	lost      atomic.Int64 // messages that its partition refused
	waits     unmarked
}

// take hands a message to the partition that it is for. It is called from the dispatcher alone.
func (r *route) take(msg *message) {
	s := r.source
	if names.Reserved(msg.subject) || r.own(msg) {
		return
	}
	header := s.headerOf(msg)
	origin, fanned := r.origin(msg, header)
	if fanned && r.isOwn(&origin) {
		s.counters.fanoutHeard.Add(1)
		return
	}
	rec := s.recorder.of(msg, header, fanned && !mutant("capture-fanout-unwrapped"))
	to := r.taker(rec)
	if to == nil || to.left.Load() {
		s.counters.unrouted.Add(1)
		return
	}
	settings := to.settings.Now()
	a := s.recorder.asked(msg, settings)
	expected, refused := s.recorder.expectation(msg, header, settings)
	if refused == nil {
		if refused = refuseSize(rec, settings); refused != nil {
			s.counters.tooLarge.Add(1)
			now := time.Now().UnixNano()
			r.gap(to, batch.Gap{Cause: batch.GapTooLarge, FromTime: now, ToTime: now, AtLeast: 1, Counted: true})
		}
	}
	if refused != nil {
		r.refuse(to, a, refused)
		return
	}
	captured := partition.Captured{Expected: expected, NoWait: s.dispatcher.crowded(), NoRoom: !s.dispatcher.await(to)}
	if a != nil || expected != nil {
		captured.OnAck = func(ack partition.Ack, err error) { r.answer(to, a, &ack, err) }
	}
	mark := to.count(s.dispatcher.room, rec.Size(), &captured)
	if err := to.sink.CaptureWith(rec, captured); err != nil {
		if mark != nil {
			mark.over()
		}
		if to.lost.Add(1) == 1 {
			s.config.Logger.Error("messages are not stored", "stream", settings.Stream, "subject", string(msg.subject), "error", err)
		}
		if why := refusalOf(err); why != nil {
			r.refuse(to, a, why)
		}
		return
	}
	s.counters.captured.Add(1)
	if s.recorder.enveloped {
		s.counters.envelopes.Add(1)
	}
}

// keptKeyBytes is the longest key that own decodes, into memory that it keeps. Messages with longer ones take the long way.
const keptKeyBytes = 1 << 10

// own says that the message was fanned out by the route's stream, or by another of its queue group, and has come back. It finds
// those whose header is as fan-out writes it; that of others is read first.
func (r *route) own(msg *message) bool {
	marker, key, ok := fanout.ClaimOf(msg.header)
	if !ok {
		return false
	}
	if base64.StdEncoding.DecodedLen(len(key)) > keptKeyBytes {
		return false
	}
	var err error
	if r.key, err = base64.StdEncoding.AppendDecode(r.key[:0], key); err != nil {
		return false
	}
	origin, ok := r.verifier().Verify(marker, msg.subject, r.key, msg.data)
	if ok = ok && r.isOwn(&origin); ok {
		r.source.counters.fanoutHeard.Add(1)
	}
	return ok
}

// isOwn says whether what comes from there is stored already, as far as the route's stream is concerned.
func (r *route) isOwn(o *fanout.Origin) bool {
	return !mutant("capture-own-fanout-stored") && (o.Stream == r.target.UUID || o.Group != "" && o.Group == r.target.Group)
}

// origin says where a message was fanned out from, if it was. A marker that does not verify is an ordinary message's
// (protocol.md 2.1).
func (r *route) origin(msg *message, header nats.Header) (o fanout.Origin, ok bool) {
	markers := header[fanout.OriginName]
	if len(markers) == 0 {
		return fanout.Origin{}, false
	}
	var key []byte
	if keys := header[fanout.KeyName]; len(keys) > 0 {
		key, _ = base64.StdEncoding.DecodeString(keys[0]) // what is no key does not verify
	}
	if o, ok = r.verifier().Verify([]byte(markers[0]), msg.subject, key, msg.data); !ok {
		r.source.counters.forgedMarkers.Add(1)
	}
	return o, ok
}

// verifier knows markers again.
func (r *route) verifier() *fanout.Marker {
	if r.marker == nil {
		r.marker = fanout.NewMarker(&r.target.Secret, r.target.Known)
	}
	return r.marker
}

// taker is the partition that the record is for; nil: it is not captured here.
func (r *route) taker(rec *batch.Record) *taker {
	t := r.takers.Load()
	if !r.target.Shared {
		return t.list[0]
	}
	return t.list[r.target.By.partitionOf(rec, t.partitions)]
}

// join adds a partition. Messages are shared out among its stream's partitions once all of them have come, at first at once:
// until its stream is ready nobody was promised anything. The caller holds Source.mu.
func (r *route) join(t *taker, partitions int32) {
	next := &takers{}
	if now := r.takers.Load(); now != nil {
		*next = *now
	}
	if !r.target.Shared {
		next.list = []*taker{t}
		r.takers.Store(next)
		return
	}
	list := make([]*taker, max(len(next.list), int(partitions), int(t.partition)+1))
	copy(list, next.list)
	list[t.partition] = t
	next.list = list
	if next.partitions == 0 {
		next.partitions = partitions
	}
	for int(next.partitions) < len(list) && partitions > next.partitions && list[next.partitions] != nil {
		next.partitions++ // a partition is added at the end: the ones before it have come
	}
	r.takers.Store(next)
}

// gap tells a partition that messages are missing. One that has closed is the owner's to tell of.
func (r *route) gap(t *taker, gap batch.Gap) {
	if err := t.sink.AppendGap(gap); err != nil && !errors.Is(err, partition.ErrClosed) {
		r.source.config.Logger.Error("a gap was not written", "stream", t.settings.Now().Stream, "partition", t.partition, "cause", gap.Cause, "error", err)
	}
}

// gaps tells all partitions of the route the same.
func (r *route) gaps(gap batch.Gap) {
	for _, t := range r.takers.Load().list {
		if t != nil && !t.left.Load() {
			r.gap(t, gap)
		}
	}
}
