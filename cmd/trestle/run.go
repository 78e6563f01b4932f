package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitMisuse = 2
)

// invocation is what one call of the program was given: its streams and its environment.
type invocation struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	// env as os.Environ gives it; the last of several settings of one name holds.
	env []string
}

// lookupEnv returns the value of an environment variable. One that is set to nothing counts as not set.
func (inv *invocation) lookupEnv(name string) (string, bool) {
	for i := len(inv.env) - 1; i >= 0; i-- {
		if key, value, ok := strings.Cut(inv.env[i], "="); ok && key == name {
			return value, value != ""
		}
	}
	return "", false
}

// run does what args ask for and returns the exit code. It reads nothing but its arguments, so that tests call it as
// a process is called. When ctx ends, a server shuts down and sub ends, both with 0.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	inv := &invocation{stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	root := newRootCommand(inv)
	// cobra takes the arguments of the process for nil.
	root.SetArgs(append([]string{}, args...))
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, syscall.EPIPE) && errors.Is(err, errOutput):
		// Whoever reads our output has enough of it.
		return exitDone
	}
	printFailure(stderr, err, asksForJSON(args))
	if _, ok := errors.AsType[*misuse](err); ok {
		return exitMisuse
	}
	return exitFailed
}

func newRootCommand(inv *invocation) *cobra.Command {
	root := &cobra.Command{
		Use:   "trestle",
		Short: "Durable logs of what is published on NATS",
		Long: `Trestle keeps durable, partitioned logs of what is published on plain NATS subjects
and serves them back over gRPC. Publishers need no change: a nats pub is enough.

Exit codes: 0 done, 1 the server or the world said no, 2 misuse.`,
		Example: `  trestle demo                                        see it work, on ports and a folder of its own
  trestle server                                      start one here
  trestle stream create orders --subject 'orders.>'   record what is published on orders.>
  nats pub orders.42 '{"id":42}'                      any NATS client will do
  trestle sub orders --from earliest                  read it back`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          commandOnly,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(inv.stdin)
	root.SetOut(inv.stdout)
	root.SetErr(inv.stderr)
	root.SetFlagErrorFunc(flagMisuse)
	// Suggestions are part of our own error text.
	root.DisableSuggestions = true
	root.AddCommand(
		newServerCommand(inv),
		newConfigCommand(inv),
		newDemoCommand(inv),
		newStreamCommand(inv),
		newLogCommand(inv),
		newPubCommand(inv),
		newSubCommand(inv),
		newGetCommand(inv),
		newCursorCommand(inv),
		newClusterCommand(inv),
		newBenchCommand(inv),
		newVersionCommand(inv),
	)
	addCompletion(root)
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.Args, cmd.RunE = commandOnly, commandLacking
		case "help":
			cmd.Args = knownCommand
		}
	}
	return root
}

// commandOnly are the arguments of a command that has commands: what is left of them names none.
func commandOnly(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return nil
}

// commandLacking runs a command that does nothing without one of its commands.
func commandLacking(cmd *cobra.Command, _ []string) error {
	return &misuse{
		message: cmd.CommandPath() + " needs a command: " + strings.Join(commandsOf(cmd), ", "),
		remedy:  "see " + cmd.CommandPath() + " --help",
	}
}

// knownCommand are the arguments of help: a command that there is.
func knownCommand(cmd *cobra.Command, args []string) error {
	found := cmd.Root()
	for _, name := range args {
		next, rest, err := found.Find([]string{name})
		if err != nil || len(rest) > 0 {
			return unknownCommand(found, name)
		}
		found = next
	}
	return nil
}

func commandsOf(cmd *cobra.Command) []string {
	var known []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	return known
}

func unknownCommand(cmd *cobra.Command, name string) error {
	known := commandsOf(cmd)
	remedy := "the commands are " + strings.Join(known, ", ")
	if match, ok := nearest(name, known); ok {
		remedy = fmt.Sprintf("did you mean: %s %s", cmd.CommandPath(), match)
	}
	return &misuse{
		message: fmt.Sprintf("%s has no command %q", cmd.CommandPath(), name),
		remedy:  remedy,
		names:   map[string]string{"command": name},
	}
}
