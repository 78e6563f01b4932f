package ordeal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/server/servertest"
)

// roleVariable of the environment makes the test binary, started again, a publisher or a NATS server: load in a process of
// its own does not share memory and garbage collection with what is measured.
const roleVariable = "ORDEAL_ROLE"

func TestMain(m *testing.M) {
	role := map[string]func(io.Writer, []string) error{"publish": publishRole, "nats": natsRole}[os.Getenv(roleVariable)]
	if role == nil {
		os.Exit(runTests(m))
	}
	if err := role(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// built is the program, for all tests.
var built servertest.Program

// runTests runs the tests and removes what was built for them.
func runTests(m *testing.M) int {
	code := m.Run()
	if err := built.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// startRole starts this test binary in a role.
func startRole(t *testing.T, role string, args ...string) *servertest.Process {
	t.Helper()
	p, err := servertest.StartProcess(os.Args[0], []string{roleVariable + "=" + role}, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// startNATS starts a NATS server in a process of its own and returns its URL.
func startNATS(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyLimit)
	defer cancel()
	url, err := startRole(t, "nats").FirstLine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// natsRole is a NATS server with the settings of a file, or else those that NATS comes with, but for a free port. It prints
// its URL.
func natsRole(out io.Writer, args []string) error {
	options := &natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT}
	if len(args) > 0 {
		var err error
		if options, err = natsserver.ProcessConfigFile(args[0]); err != nil {
			return err
		}
	}
	options.NoSigs = true
	s, err := natsserver.NewServer(options)
	if err != nil {
		return err
	}
	if options.LogFile != "" {
		s.ConfigureLogger()
	}
	s.Start()
	if !s.ReadyForConnections(readyLimit) {
		return errors.New("NATS did not start")
	}
	if _, err := fmt.Fprintln(out, "nats://"+s.Addr().String()); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// flood says what a publisher process does: it publishes messages of size bytes on subject, each with its publisher's number
// and its own in the first 16 bytes, until count or time is reached; 0: no limit.
type flood struct {
	url, subject     string
	publisher, count int
	size             int
	time             time.Duration
}

func (f *flood) args() []string {
	return []string{f.url, f.subject, strconv.Itoa(f.publisher), strconv.Itoa(f.count), strconv.Itoa(f.size), f.time.String()}
}

// flooded is what a publisher process has done.
type flooded struct {
	count      int
	begun, end time.Time // end: NATS has confirmed that it has all
}

func publishRole(out io.Writer, args []string) error {
	f := flood{url: args[0], subject: args[1]}
	var errs [4]error
	f.publisher, errs[0] = strconv.Atoi(args[2])
	f.count, errs[1] = strconv.Atoi(args[3])
	f.size, errs[2] = strconv.Atoi(args[4])
	f.time, errs[3] = time.ParseDuration(args[5])
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	done, err := f.publish()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, done.count, done.begun.UnixNano(), done.end.UnixNano())
	return err
}

func (f *flood) publish() (done flooded, err error) {
	c, err := nats.Connect(f.url, nats.Timeout(readyLimit))
	if err != nil {
		return done, err
	}
	defer c.Close()
	value := make([]byte, f.size)
	binary.BigEndian.PutUint64(value, uint64(f.publisher))
	done.begun = time.Now()
	for f.count == 0 || done.count < f.count {
		if f.time > 0 && time.Since(done.begun) >= f.time {
			break
		}
		binary.BigEndian.PutUint64(value[8:], uint64(done.count))
		if err := c.Publish(f.subject, value); err != nil {
			return done, err
		}
		done.count++
	}
	if err := c.FlushTimeout(roundLimit); err != nil {
		return done, err
	}
	done.end = time.Now()
	return done, nil
}

// floodAll lets publishers, each a process of its own, go at once and waits for them. Their counts are added; begun is when
// the first began and end when the last was done.
func floodAll(ctx context.Context, t *testing.T, publishers int, f flood) flooded {
	t.Helper()
	var all []*servertest.Process
	subject, share := f.subject, f.count/publishers
	for i := range publishers {
		f.publisher, f.count, f.subject = i, share, subject+"."+strconv.Itoa(i)
		all = append(all, startRole(t, "publish", f.args()...))
	}
	var total flooded
	for _, p := range all {
		line, err := p.FirstLine(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var count int
		var begun, end int64
		if _, err := fmt.Sscan(line, &count, &begun, &end); err != nil {
			t.Fatalf("a publisher printed %q: %v", line, err)
		}
		if b := time.Unix(0, begun); total.begun.IsZero() || b.Before(total.begun) {
			total.begun = b
		}
		if e := time.Unix(0, end); e.After(total.end) {
			total.end = e
		}
		total.count += count
	}
	return total
}
