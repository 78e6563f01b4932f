package liftbridge

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strconv"

	"github.com/trestlehq/trestle/commitlog"
)

// activityVariable turns __activity on, as it is documented for Liftbridge.
const activityVariable = "LIFTBRIDGE_ACTIVITY_STREAM_ENABLED"

// ActivityEnabled says whether events are to be recorded: by the environment variable that Liftbridge documents, off unless it is true.
func ActivityEnabled() (bool, error) {
	text := os.Getenv(activityVariable)
	if text == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s is %q; set it to true or false", activityVariable, text)
	}
	return on, nil
}

// keyVariable is where Liftbridge has its key: 16 or 32 bytes.
const keyVariable = "LIFTBRIDGE_ENCRYPTION_KEY"

// EncryptionKey is the master key of streams whose values are encrypted, made of the environment variable in which Liftbridge has
// its own; nil: there is none. The key of 32 bytes is taken as it is, one of 16 bytes is its SHA-256, and what is longer is hexadecimal
// or base64 of 32 bytes.
func EncryptionKey() ([]byte, error) {
	text := os.Getenv(keyVariable)
	switch len(text) {
	case 0:
		return nil, nil
	case 16:
		key := sha256.Sum256([]byte(text))
		return key[:], nil
	case commitlog.KeySize:
		return []byte(text), nil
	}
	key, err := commitlog.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyVariable, err)
	}
	return key, nil
}
