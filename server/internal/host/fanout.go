package host

import (
	"strconv"

	"github.com/trestlehq/trestle/metadata"
	"github.com/trestlehq/trestle/metadata/names"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/fanout"
)

// FanoutCounts are what was fanned out since the host was opened.
func (h *Host) FanoutCounts() fanout.Counts { return h.fanned.Now() }

// fanOut begins or ends the fan-out of a replica that leads, as its stream asks for now.
func (h *Host) fanOut(r *replica, w *wanted) error {
	if !w.stream.Config.GetFanout() || w.Mode != trestlev1.Mode_MODE_ACTIVE || h.config.Publisher == nil {
		r.endFanout()
		return nil
	}
	subject := ownSubject(w.stream, w.Number)
	if r.fanout != nil && r.fanout.Subject() == subject {
		return nil
	}
	r.endFanout()
	f, err := fanout.Start(fanout.Config{
		Partition: r.partition, Epoch: r.epoch, Publisher: h.config.Publisher,
		Secret: fanout.SecretOf(h.config.Metadata.State().Cluster().Secret),
		Known:  &h.known, Stream: w.stream.ID, Group: w.stream.Config.GetQueueGroup(), Number: w.Number, Subject: subject,
		Counters: &h.fanned, Buffers: &h.buffers, Logger: h.config.Logger,
	})
	if err != nil {
		return err
	}
	r.fanout = f
	return nil
}

func (r *replica) endFanout() {
	if r.fanout != nil {
		r.fanout.Close()
		r.fanout = nil
	}
}

// ownSubject is the subject of a partition's records that name none: the stream's first, if it is literal (protocol.md 2.2).
func ownSubject(s metadata.Stream, number int32) string {
	subjects := s.Config.GetSubjects()
	if len(subjects) == 0 || names.Literal(subjects[0]) != nil {
		return ""
	}
	if _, shared := sharingOf(s.Config); number == 0 || shared {
		return subjects[0]
	}
	return subjects[0] + "." + strconv.Itoa(int(number))
}
