package compat

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	lift "github.com/liftbridge-io/go-liftbridge/v2"
	"github.com/nats-io/nats.go"
)

// kind is a program that the suite drives.
type kind interface {
	// build makes the program in the folder.
	build(dir string) error
	// command runs it in the broker's folder, on its addresses; those with port 0 may be replaced.
	command(b *broker) *exec.Cmd
	// ready returns once the broker serves, with its addresses in b. It may read what the process prints.
	ready(b *broker, out *bufio.Reader) error
	// gentle is the signal upon which the process ends in order.
	gentle() os.Signal
}

var (
	server = flag.String("server", "trestle", "what to drive: trestle or liftbridge")
	binary = flag.String("binary", "", "the program itself; it is built when this is left out")
	driven kind
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	switch *server {
	case "trestle":
		driven = trestle{}
	case "liftbridge":
		driven = liftbridge{}
	default:
		fmt.Fprintf(os.Stderr, "-server %s is neither trestle nor liftbridge\n", *server)
		return 2
	}
	if *binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "compat")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := driven.build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "building what is to be driven:", err)
		return 1
	}
	return m.Run()
}

// goBuild builds a package of a module into the folder.
func goBuild(module, dir, pkg string) error {
	*binary = filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-C", module, "-o", *binary, pkg)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	return build.Run()
}

// trestle is the broker of this repository.
type trestle struct{}

func (trestle) build(dir string) error { return goBuild("..", dir, "./cmd/trestle") }

func (trestle) gentle() os.Signal { return syscall.SIGTERM }

func (trestle) command(b *broker) *exec.Cmd {
	args := []string{
		"server", "--data-dir", b.dir, "--listen", b.grpc, "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0",
		"--nats-listen", strings.TrimPrefix(b.nats, "nats://"),
	}
	if b.tls != nil {
		args = append(args, "--tls-cert", b.tls.cert, "--tls-key", b.tls.key)
		if b.tls.mutual {
			args = append(args, "--tls-ca", b.tls.ca)
		}
	}
	return b.keyed(exec.Command(*binary, args...))
}

// keyed gives the command the key for values, if there is one, which both have from the same variable, and says whether events are
// recorded.
func (b *broker) keyed(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(os.Environ(), "LIFTBRIDGE_ENCRYPTION_KEY="+b.key, fmt.Sprint("LIFTBRIDGE_ACTIVITY_STREAM_ENABLED=", b.activity))
	return cmd
}

func (trestle) ready(b *broker, out *bufio.Reader) error {
	line, err := out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready ") {
		return fmt.Errorf("it said %q: %w", line, err)
	}
	for _, field := range strings.Fields(line) {
		switch name, value, _ := strings.Cut(field, "="); name {
		case "grpc":
			b.grpc = value
		case "nats":
			b.nats = value
		}
	}
	return nil
}

// liftbridge is Liftbridge's own server, with its streams of cursors and of activity on: they are off unless asked for.
type liftbridge struct{}

func (liftbridge) build(dir string) error {
	return goBuild("liftbridge", dir, "github.com/liftbridge-io/liftbridge")
}

func (liftbridge) gentle() os.Signal { return os.Interrupt } // SIGTERM it does not know

func (liftbridge) command(b *broker) *exec.Cmd {
	b.grpc, b.nats = fixed(b.t, b.grpc), "nats://"+fixed(b.t, strings.TrimPrefix(b.nats, "nats://"))
	host, port, _ := net.SplitHostPort(b.grpc)
	embedded, config := filepath.Join(b.dir, "nats.conf"), filepath.Join(b.dir, "liftbridge.yaml")
	write(b.t, embedded, "listen: "+strings.TrimPrefix(b.nats, "nats://"))
	lines := []string{
		"listen: " + b.grpc, "host: " + host, "port: " + port, "data.dir: " + filepath.Join(b.dir, "data"),
		"nats.embedded: true", "nats.embedded.config: " + embedded, "nats.servers: [\"" + b.nats + "\"]",
		"clustering.server.id: one", "clustering.raft.bootstrap.seed: true", "cursors.stream.partitions: 1", "activity.stream.enabled: true",
	}
	if b.tls != nil {
		lines = append(lines, "tls.cert: "+b.tls.cert, "tls.key: "+b.tls.key)
		if b.tls.mutual {
			lines = append(lines, "tls.client.auth.enabled: true", "tls.client.auth.ca: "+b.tls.ca)
		}
	}
	write(b.t, config, strings.Join(lines, "\n"))
	return b.keyed(exec.Command(*binary, "--config", config))
}

// ready waits until the stream of cursors, which it makes last, is led.
func (liftbridge) ready(b *broker, _ *bufio.Reader) error {
	last := errors.New("the time was too short")
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if last = led(b); last == nil {
			return nil
		}
		<-time.After(50 * time.Millisecond)
	}
	return last
}

func led(b *broker) error {
	nc, err := nats.Connect(b.nats)
	if err != nil {
		return err
	}
	nc.Close()
	options := []lift.ClientOption{}
	if b.tls != nil {
		options = append(options, lift.TLSConfig(b.tls.client(b.t)))
	}
	c, err := lift.Connect([]string{b.grpc}, options...)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	metadata, err := c.FetchMetadata(b.t.Context())
	if err != nil {
		return err
	}
	for _, name := range []string{"__activity", "__cursors"} {
		if s := metadata.GetStream(name); s == nil || s.GetPartition(0) == nil || s.GetPartition(0).Leader() == nil {
			return fmt.Errorf("stream %s is not led", name)
		}
	}
	return nil
}

// fixed is the address with a free port in place of 0.
func fixed(t *testing.T, address string) string {
	t.Helper()
	if !strings.HasSuffix(address, ":0") {
		return address
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// notShort leaves a test that takes seconds to make compat, and out of make test.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
}
