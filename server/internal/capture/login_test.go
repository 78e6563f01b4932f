package capture

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
)

// Whatever NATS does to a login that it does not take, the remedy names the flags.
func TestRemedies(t *testing.T) {
	t.Parallel()
	for err, flags := range map[error][]string{
		nats.ErrAuthorization: {"--nats", "--nats-creds"},
		errors.New("remote error: tls: certificate required"): {"--nats-tls-ca", "--nats-tls-cert"},
		fmt.Errorf("write: %w", syscall.EPIPE):                {"--nats", "--nats-creds", "--nats-tls-cert", "--nats-tls-ca"},
		fmt.Errorf("read: %w", syscall.ECONNRESET):            {"--nats", "--nats-creds", "--nats-tls-cert", "--nats-tls-ca"},
		fmt.Errorf("dial: %w", syscall.ECONNREFUSED):          {"is a NATS server listening there?"},
		nats.ErrNoInfoReceived:                                {"it does not answer as a NATS server does", "--nats"},
		&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}: {"it does not answer as a NATS server does", "--nats"},
		&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}: {"is a NATS server listening there?"},
	} {
		for _, flag := range flags {
			if got := remedy(err); !strings.Contains(got, flag) {
				t.Errorf("%v: %q says nothing of %s", err, got, flag)
			}
		}
	}
}
