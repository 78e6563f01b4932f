package capture

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// refusedAgain is how often at most it is logged that NATS still refuses logins.
const refusedAgain = time.Minute

// loginLog logs that NATS refuses logins, which nats.go tries several times a second on each connection: when that begins,
// and while it lasts once in a while, with how often it happened.
type loginLog struct {
	logger *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	last    time.Time // when it was logged last; zero: logins are not refused
	refused int       // since then
}

// isRefusedLogin is true of what nats.go says when NATS refuses a login.
func isRefusedLogin(err error) bool {
	for _, kind := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// refuse takes in that NATS has refused a login.
func (l *loginLog) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.refused++
	switch {
	case l.last.IsZero():
		l.logger.Error("nats refuses the login", "error", err, "remedy", remedy(err))
	case now.Sub(l.last) >= refusedAgain:
		l.logger.Error("nats still refuses the login", "error", err, "times", l.refused)
	default:
		return
	}
	l.last, l.refused = now, 0
}

// accept takes in that NATS has accepted one: when it refuses the next, that begins anew.
func (l *loginLog) accept() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.refused = time.Time{}, 0
}
