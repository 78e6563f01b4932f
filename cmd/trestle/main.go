// Command trestle is the server and the command line of Trestle in one binary.
//
// Words, flags, output and exit codes are a contract that scripts rely on: 0 done, 1 the server or the world said
// no, 2 misuse that was found without asking a server. Nothing ever prompts.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	// Without this a reader that has seen enough (trestle sub … | head) kills the process with a signal before it
	// can end by itself.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
