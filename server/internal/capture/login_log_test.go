package capture

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A login that NATS refuses is logged when that begins, then once a minute with how often, and anew after one that it took.
func TestRefusedLoginsAreLoggedSeldom(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	now := time.Unix(0, 0)
	l := &loginLog{logger: slog.New(slog.NewTextHandler(&lines, nil)), now: func() time.Time { return now }}
	refuseFor := func(d time.Duration) {
		for range d / (125 * time.Millisecond) {
			now = now.Add(125 * time.Millisecond)
			l.refuse(nats.ErrAuthorization)
		}
	}
	refuseFor(2*time.Minute + 30*time.Second)
	l.accept()
	refuseFor(time.Second)
	got := strings.Split(strings.TrimSpace(lines.String()), "\n")
	if len(got) != 4 || !strings.Contains(got[0], "nats-creds") || !strings.Contains(got[1], "times=480") || !strings.Contains(got[2], "times=480") || strings.Contains(got[3], "times=") {
		t.Errorf("got %q, want the beginning, two times a minute with 480 each, and the beginning again", got)
	}
	for err, want := range map[error]bool{nats.ErrAuthorization: true, nats.ErrAuthExpired: true, nats.ErrTimeout: false} {
		if isRefusedLogin(errors.Join(err)) != want {
			t.Errorf("%v: got %v", err, !want)
		}
	}
}
