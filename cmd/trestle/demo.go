package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// demoTime bounds the demo as a whole.
const demoTime = 60 * time.Second

func newDemoCommand(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See it work: NATS in, gRPC out, a crash, and all of it still there",
		Long: `See it work, on a folder and ports of its own: a real server is started, plain messages
are published over NATS and read back over gRPC, the server is killed with SIGKILL while
acked publishes are under way, and started again on the same folder. Every message is
compared byte for byte. Nothing stays behind.`,
		Example: `  trestle demo`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return inv.demo(cmd.Context())
		},
	}
}

func (inv *invocation) demo(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTime, fmt.Errorf("the demo did not come to its end within %s", demoTime))
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A second signal is not for us: it ends a demo that hangs.
	defer context.AfterFunc(ctx, stop)()

	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to run it as a server: %w", err)
	}
	dir, err := os.MkdirTemp("", "trestle-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() {
		if cause := os.RemoveAll(dir); cause != nil {
			err = errors.Join(err, fmt.Errorf("remove the folder of the demo: %w", cause))
		}
	}()
	s := &demoStory{inv: inv, program: program, dir: dir, env: withoutSettings(inv.env)}
	defer s.close()
	switch err := s.tell(ctx); {
	case err == nil || ctx.Err() == nil:
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	default:
		// What failed did so because everything was told to end.
		return fmt.Errorf("the demo was ended: %w", context.Cause(ctx))
	}
}

// withoutSettings drops what would configure the demo's server from outside.
func withoutSettings(env []string) []string {
	var kept []string
	for _, setting := range env {
		if !strings.HasPrefix(setting, envPrefix) {
			kept = append(kept, setting)
		}
	}
	return kept
}
