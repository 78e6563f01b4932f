package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// natsStandIn is what the README's `nats` is in the test: nats pub SUBJECT VALUE in NATS's own protocol, and nothing
// that knows of Trestle. The NATS command line itself is not a dependency of this module.
const natsStandIn = `#!/usr/bin/env bash
set -eu
[ "$1" = pub ]
address=${NATS_URL#nats://}
exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
printf 'CONNECT {"verbose":false}\r\nPUB %s %d\r\n%s\r\nPING\r\n' "$2" "${#3}" "$3" >&3
while read -r answer <&3; do
	case $answer in
	PONG*) exit 0 ;;
	-ERR*) echo "$answer" >&2; exit 1 ;;
	esac
done
exit 1
`

// stepTime bounds each command: a machine that compiles for the first time takes its time.
const stepTime = 3 * time.Minute

// readmeShell runs commands as a user's terminals do.
type readmeShell struct {
	t *testing.T
	// clone is where this repository lies, folder where the user's files go.
	clone, folder string
	env           []string
	// shown turns the addresses of the server of this test into those of the README, which has the default ports.
	shown   *strings.Replacer
	running []*readmeTerminal
}

// readmeTerminal is a command that goes on until Ctrl-C.
type readmeTerminal struct {
	step    readmeStep
	cmd     *exec.Cmd
	printed chan string    // lines; closed at the end of the output
	read    sync.WaitGroup // of the goroutines that read what is printed
}

func newReadmeShell(t *testing.T) *readmeShell {
	t.Helper()
	clone, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	folder, bin := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "nats"), []byte(natsStandIn), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &readmeShell{t: t, clone: clone, folder: folder, shown: strings.NewReplacer()}
	s.env = append(os.Environ(),
		"GOBIN="+bin, "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "TMPDIR="+t.TempDir(),
		"TRESTLE_DATA_DIR="+filepath.Join(folder, "trestle-data"), "TRESTLE_ID=here",
		"TRESTLE_LISTEN=127.0.0.1:0", "TRESTLE_HTTP=127.0.0.1:0", "TRESTLE_PEER=127.0.0.1:0", "TRESTLE_NATS_LISTEN=127.0.0.1:0",
		"MAKEFLAGS=n", // make says what it would do
	)
	t.Cleanup(s.kill)
	return s
}

func (s *readmeShell) command(ctx context.Context, step *readmeStep) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -euo pipefail\n"+step.command)
	cmd.Env, cmd.Dir = s.env, s.folder
	// What the README does in a clone is done in this one; the rest leaves its files elsewhere.
	if strings.HasPrefix(step.command, "go ") || strings.HasPrefix(step.command, "make ") {
		cmd.Dir = s.clone
	}
	return cmd
}

// run runs a step to its end; one that goes on until Ctrl-C is left running once it has printed what it is to print.
func (s *readmeShell) run(step readmeStep) {
	s.t.Helper()
	if step.endless() {
		s.start(step)
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), stepTime)
	defer cancel()
	cmd := s.command(ctx, &step)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("README.md:%d: %s: %v\n%s%s", step.line, step.command, err, out, &stderr)
	}
	if lines := s.lines(string(out)); !step.printed(lines) {
		s.t.Errorf("README.md:%d: %s: got\n%s\nwant\n%s", step.line, step.command, strings.Join(lines, "\n"), strings.Join(step.want, "\n"))
	}
}

func (s *readmeShell) lines(out string) []string {
	return strings.Split(strings.TrimSuffix(s.shown.Replace(out), "\n"), "\n")
}

func (s *readmeShell) start(step readmeStep) {
	s.t.Helper()
	terminal := &readmeTerminal{step: step, cmd: s.command(context.WithoutCancel(s.t.Context()), &step), printed: make(chan string)}
	// A group of its own, so that Ctrl-C reaches all that the command line started.
	terminal.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := terminal.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := terminal.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.running = append(s.running, terminal)
	terminal.read.Go(func() {
		defer close(terminal.printed)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			terminal.printed <- lines.Text()
		}
	})
	s.await(&step, terminal.printed)
	terminal.read.Go(terminal.drain)
}

// drain takes what is printed later, such as messages of later commands.
func (terminal *readmeTerminal) drain() {
	for range terminal.printed {
	}
}

// await takes lines until they are what the step prints.
func (s *readmeShell) await(step *readmeStep, printed <-chan string) {
	s.t.Helper()
	deadline := time.NewTimer(stepTime)
	defer deadline.Stop()
	var lines []string
	for len(lines) < len(step.want) {
		select {
		case line, ok := <-printed:
			if !ok {
				s.t.Fatalf("README.md:%d: %s ended after %q", step.line, step.command, lines)
			}
			s.learn(line)
			lines = append(lines, s.lines(line)...)
		case <-deadline.C:
			s.t.Fatalf("README.md:%d: %s: got %q in %v, want %q", step.line, step.command, lines, stepTime, step.want)
		}
	}
	if !step.printed(lines) {
		s.t.Errorf("README.md:%d: %s: got\n%s\nwant\n%s", step.line, step.command, strings.Join(lines, "\n"), strings.Join(step.want, "\n"))
	}
}

// learn takes the addresses from the line by which a server says that it is ready.
func (s *readmeShell) learn(line string) {
	words, ok := strings.CutPrefix(line, "ready ")
	if !ok {
		return
	}
	ready := map[string]string{}
	for word := range strings.FieldsSeq(words) {
		name, value, _ := strings.Cut(word, "=")
		ready[name] = value
	}
	s.shown = strings.NewReplacer(
		ready["grpc"], "127.0.0.1:9292", ready["http"], "127.0.0.1:9293", ready["peer"], "127.0.0.1:9294", ready["nats"], "nats://127.0.0.1:4222",
	)
	s.env = append(s.env, "TRESTLE_ADDR="+ready["grpc"], "NATS_URL="+ready["nats"])
}

// interrupt is Ctrl-C in every terminal, the newest first: each command ends with 0.
func (s *readmeShell) interrupt() {
	s.t.Helper()
	for i := len(s.running) - 1; i >= 0; i-- {
		terminal := s.running[i]
		if err := syscall.Kill(-terminal.cmd.Process.Pid, syscall.SIGINT); err != nil {
			s.t.Error(err)
		}
		terminal.read.Wait()
		if err := terminal.cmd.Wait(); err != nil {
			s.t.Errorf("README.md:%d: %s: %v after Ctrl-C, want exit code 0", terminal.step.line, terminal.step.command, err)
		}
	}
	s.running = nil
}

// kill ends what a test that failed has left running.
func (s *readmeShell) kill() {
	for _, terminal := range s.running {
		_ = syscall.Kill(-terminal.cmd.Process.Pid, syscall.SIGKILL)
		terminal.drain()
		terminal.read.Wait()
		_ = terminal.cmd.Wait()
	}
}
