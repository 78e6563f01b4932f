package host_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
	"github.com/trestlehq/trestle/server/internal/host"
)

// Whether values are encrypted is decided when a stream is made: labels, which replace those that there are, can neither end nor
// begin it, and all else about the stream can change.
func TestEncryptionIsForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.key = bytes.Repeat([]byte{7}, 32)
	w.start()
	encrypted := map[string]string{host.EncryptLabel: "true", "team": "a"}
	config := orders()
	config.Labels = maps.Clone(encrypted)
	w.create(config)
	w.create(&trestlev1.StreamConfig{Name: "plain", Subjects: []string{"plain"}})
	w.publish("orders", 0, "secret")

	var refused *host.InvalidError
	for stream, labels := range map[string]map[string]string{
		"orders": {"team": "b"}, "plain": encrypted,
	} {
		_, err := w.Update(t.Context(), &trestlev1.StreamConfig{Name: stream, Labels: labels}, 0)
		if !errors.As(err, &refused) || refused.Field != "labels" || !strings.Contains(err.Error(), host.EncryptLabel) {
			t.Errorf("%s with labels %v: %v", stream, labels, err)
		}
	}
	if _, err := w.Update(t.Context(), &trestlev1.StreamConfig{Name: "orders", Labels: map[string]string{host.EncryptLabel: "false"}}, 0); !errors.As(err, &refused) {
		t.Errorf("encryption was turned off: %v", err)
	}
	kept := &trestlev1.StreamConfig{Name: "orders", Labels: map[string]string{host.EncryptLabel: "true", "team": "b"}, RetainBytes: proto.Int64(1 << 30)}
	if _, err := w.Update(t.Context(), kept, 0); err != nil {
		t.Error(err)
	}
	if s, err := w.Update(t.Context(), &trestlev1.StreamConfig{Name: "orders", RetainBytes: proto.Int64(0)}, 0); err != nil || len(s.GetConfig().GetLabels()) != 2 {
		t.Errorf("without labels: %v, %v", s, err)
	}
	w.stop()
}

// A stream that the broker has no key for is refused and leaves nothing behind: with it, the broker would not start again.
func TestEncryptionNeedsTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t).start()
	config := orders()
	config.Labels = map[string]string{host.EncryptLabel: "true"}
	var refused *host.InvalidError
	if _, _, err := w.Create(t.Context(), config, false); !errors.As(err, &refused) || refused.Field != "labels" {
		t.Errorf("created without a key: %v", err)
	}
	w.create(orders())
	w.stop()
	w.start()
	w.stop()
}
