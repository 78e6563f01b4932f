package host

import (
	"strings"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/partition"
)

// fullTeller logs that the disk of the stream is full, and that it no longer is.
func (h *Host) fullTeller(stream string) func(error) {
	return func(err error) { // a logger of each partition's own would cost a start more than they all ever say
		log := h.config.Logger.With("stream", stream)
		if err != nil {
			log.Error(fullText(err), "error", err)
			return
		}
		log.Info("there is room on the disk again")
	}
}

// fullText says what a full disk means, and what makes room unless the error says so itself.
func fullText(err error) string {
	const meaning = "the disk is full: publishes are refused and captured messages become gaps"
	if strings.Contains(err.Error(), partition.MakeRoom) {
		return meaning
	}
	return meaning + "; " + partition.MakeRoom
}

// problemTeller logs what went wrong in a partition and is tried again.
func (h *Host) problemTeller(stream string) func(error) {
	return func(err error) { h.config.Logger.Error("something is tried again", "stream", stream, "error", err) }
}

// tell logs what opening a log found.
func (h *Host) tell(stream string, report *commitlog.Report) {
	log := h.config.Logger.With("stream", stream)
	for _, cut := range report.Cut {
		if cut.Unused() {
			continue
		}
		log.Warn("the end of a segment was not whole and was cut off", "file", cut.File, "position", cut.Position, "bytes", cut.Bytes, "reason", cut.Reason)
	}
	for _, damage := range report.Damaged {
		log.Error("stored bytes are damaged; they are left as they are and not served", "file", damage.File, "position", damage.Position, "error", damage.Err)
	}
	if report.Lost != nil {
		log.Error("files of the log are gone", "from", report.Lost.From, "to", report.Lost.To)
	}
	for _, name := range report.Removed {
		log.Info("an unfinished file was removed", "file", name)
	}
	for _, name := range report.Unknown {
		log.Warn("an unknown file was left alone", "file", name)
	}
}
