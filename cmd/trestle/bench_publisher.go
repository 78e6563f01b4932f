package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
)

// newBenchPublisherCommand is one publisher of a bench: it says when it is connected, begins when it is told a line on
// stdin, and ends when NATS has taken all.
func newBenchPublisherCommand(inv *invocation) *cobra.Command {
	var url, subject string
	messages, size := countFlag{least: 1}, countFlag{least: 1}
	cmd := &cobra.Command{
		Use: "publisher", Hidden: true, Args: noArguments,
		Short:   "Publish as bench capture tells",
		Example: "  trestle bench publisher --nats nats://127.0.0.1:4222 --subject a --messages 1000 --size 128",
	}
	cmd.Flags().StringVar(&url, "nats", "", "the NATS at `URL`")
	cmd.Flags().StringVar(&subject, "subject", "", "on `SUBJECT`")
	cmd.Flags().Var(&messages, "messages", "`N` messages")
	cmd.Flags().Var(&size, "size", "of `N` bytes")
	cmd.RunE = func(*cobra.Command, []string) error {
		nc, err := nats.Connect(url, nats.Name("trestle bench publisher"))
		if err != nil {
			return fmt.Errorf("connect to NATS at %s: %w", url, err)
		}
		defer nc.Close()
		if err := inv.print("connected\n"); err != nil {
			return err
		}
		if _, err := bufio.NewReader(inv.stdin).ReadString('\n'); err != nil {
			return fmt.Errorf("wait for a line on stdin: %w", err)
		}
		value := bytes.Repeat([]byte{'x'}, int(size.n))
		for range messages.n {
			if err := nc.Publish(subject, value); err != nil {
				return fmt.Errorf("publish to %s: %w", subject, err)
			}
		}
		if err := nc.Flush(); err != nil {
			return fmt.Errorf("publish to %s: %w", subject, err)
		}
		return nil
	}
	return cmd
}

// publisherGroup is publishers that are connected, each in a process of its own.
type publisherGroup struct {
	processes []*exec.Cmd
	stdin     []io.WriteCloser
	stderr    []*bytes.Buffer
}

// startPublishers starts the processes, which share the messages, and waits until they are connected. They end with ctx.
func (b *captureBench) startPublishers(ctx context.Context, subject string) (*publisherGroup, error) {
	group := &publisherGroup{}
	for i := range b.publishers.n {
		share := b.messages.n/b.publishers.n + min(1, max(0, b.messages.n%b.publishers.n-i))
		if share == 0 {
			continue
		}
		if err := group.start(ctx, b, subject, share); err != nil {
			return nil, errors.Join(err, group.wait())
		}
	}
	return group, nil
}

func (g *publisherGroup) start(ctx context.Context, b *captureBench, subject string, share int64) error {
	process := exec.CommandContext(ctx, b.program, "bench", "publisher", "--nats", b.natsURL, "--subject", subject,
		"--messages", strconv.FormatInt(share, 10), "--size", strconv.FormatInt(b.size.n, 10))
	stdin, err := process.StdinPipe()
	if err != nil {
		return fmt.Errorf("start a publisher: %w", err)
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start a publisher: %w", err)
	}
	stderr := new(bytes.Buffer)
	process.Stderr = stderr
	if err := process.Start(); err != nil {
		return fmt.Errorf("start a publisher: %w", err)
	}
	g.processes, g.stdin, g.stderr = append(g.processes, process), append(g.stdin, stdin), append(g.stderr, stderr)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "connected\n" {
		return fmt.Errorf("a publisher did not connect: it says %q", strings.TrimSpace(line))
	}
	return nil
}

// begin tells all to publish.
func (g *publisherGroup) begin() error {
	for _, stdin := range g.stdin {
		if _, err := io.WriteString(stdin, "begin\n"); err != nil {
			return errors.Join(fmt.Errorf("tell a publisher to begin: %w", err), g.wait())
		}
	}
	return nil
}

// wait waits until all have ended. One that was not told to begin ends when its stdin does.
func (g *publisherGroup) wait() error {
	var failed error
	for i, process := range g.processes {
		_ = g.stdin[i].Close() // it has been told all, or is to end
		if err := process.Wait(); err != nil && failed == nil {
			failed = fmt.Errorf("a publisher: %w: %s", err, strings.TrimSpace(g.stderr[i].String()))
		}
	}
	return failed
}
