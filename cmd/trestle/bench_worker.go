package main

import (
	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/cmd/trestle/internal/loadtest"
)

// newBenchWorkerCommand is one publisher, subscriber or NATS server of a bench: it reads what to do from stdin.
func newBenchWorkerCommand(inv *invocation) *cobra.Command {
	var tls tlsFlags
	cmd := &cobra.Command{
		Use: "worker", Hidden: true, Args: noArguments,
		Short:   "Publish or receive as another bench tells on stdin",
		Example: `  echo '{"task":"serve-nats"}' | trestle bench worker`,
	}
	tls.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := tls.options(cmd)
		if err != nil {
			return err
		}
		return loadtest.Work(cmd.Context(), inv.stdin, inv.stdout, options...)
	}
	return cmd
}

// workerArguments are what this program is started again with.
func (f *tlsFlags) workerArguments() []string {
	args := []string{"bench", "worker"}
	for _, flag := range []struct{ name, value string }{{"--tls-ca", f.ca}, {"--tls-cert", f.cert}, {"--tls-key", f.key}} {
		if flag.value != "" {
			args = append(args, flag.name, flag.value)
		}
	}
	return args
}
