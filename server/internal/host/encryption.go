package host

import (
	"github.com/trestlehq/trestle/metadata"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// encrypted says whether the values of a stream are encrypted where they are stored.
func encrypted(c *trestlev1.StreamConfig) bool { return c.GetLabels()[EncryptLabel] == "true" }

// checkKey refuses a stream that this broker could not encrypt: once it is there, no broker without the key starts.
func (h *Host) checkKey(asked *trestlev1.StreamConfig) error {
	if encrypted(asked) && h.config.EncryptionKey == nil {
		return &InvalidError{"labels", "has " + EncryptLabel + " = true, and the broker has no key; start it with LIFTBRIDGE_ENCRYPTION_KEY, or leave the label out"}
	}
	return nil
}

// checkStaysEncrypted refuses labels, which replace those that there are, that would make the values of a stream encrypted from
// now on, or no longer: that is decided when the stream is made.
func checkStaysEncrypted(stream metadata.Stream, asked *trestlev1.StreamConfig) error {
	switch was := encrypted(stream.Config); {
	case len(asked.GetLabels()) == 0 || encrypted(asked) == was:
		return nil
	case was:
		return &InvalidError{"labels", "would leave " + EncryptLabel + " = true out, and the values of the stream are encrypted for good; keep that label among them"}
	default:
		return &InvalidError{"labels", "has " + EncryptLabel + " = true, which is decided when a stream is made; make another stream with it"}
	}
}
