package liftbridge_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/trestlehq/trestle/server/internal/liftbridge"
)

// The key that Liftbridge has is taken as it is, or longer forms of one.
func TestEncryptionKey(t *testing.T) {
	short, long := "0123456789abcdef", "0123456789abcdef0123456789ABCDEF"
	hashed := sha256.Sum256([]byte(short))
	for text, want := range map[string]string{"": "", short: string(hashed[:]), long: long, hex.EncodeToString([]byte(long)): long} {
		t.Setenv("LIFTBRIDGE_ENCRYPTION_KEY", text)
		if key, err := liftbridge.EncryptionKey(); err != nil || string(key) != want || (key == nil) != (text == "") {
			t.Errorf("%q gives %q, %v; want %q", text, key, err, want)
		}
	}
	for _, text := range []string{"short", strings.Repeat("x", 33)} {
		t.Setenv("LIFTBRIDGE_ENCRYPTION_KEY", text)
		if _, err := liftbridge.EncryptionKey(); err == nil || !strings.Contains(err.Error(), "LIFTBRIDGE_ENCRYPTION_KEY") || strings.Contains(err.Error(), text) {
			t.Errorf("%q gives %v; want an error that names the variable and not what it holds", text, err)
		}
	}
}

func TestActivityEnabled(t *testing.T) {
	for text, want := range map[string]bool{"": false, "false": false, "true": true} {
		t.Setenv("LIFTBRIDGE_ACTIVITY_STREAM_ENABLED", text)
		if on, err := liftbridge.ActivityEnabled(); err != nil || on != want {
			t.Errorf("%q gives %v, %v", text, on, err)
		}
	}
	t.Setenv("LIFTBRIDGE_ACTIVITY_STREAM_ENABLED", "perhaps")
	if _, err := liftbridge.ActivityEnabled(); err == nil {
		t.Error("perhaps was taken")
	}
}
