package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// newTap is a tap over what reader brings, with a route for each of the subscriptions 1 and 2.
func newTap(reader io.Reader) (*tap, *arrivals) {
	listens := newListening()
	listens.add(&route{subject: "a"})
	listens.add(&route{subject: "b.*"})
	into := newArrivals()
	gate := newGate(slowing.gateLimits, func() int { return 0 })
	return &tap{
		stream: struct {
			io.Reader
			io.Writer
		}{reader, io.Discard}, gate: gate, into: into, listens: listens, pool: &sync.Pool{}, largest: 1 << 20,
	}, into
}

// drain is what the tap hands on, a line each, and what it leaves.
func drain(t *tap, into *arrivals) (messages []string, rest []byte, err error) {
	left, err := io.ReadAll(t)
	for _, p := range into.take(nil) {
		for i := range p.messages {
			m := &p.messages[i]
			messages = append(messages, fmt.Sprintf("%d %q %q %q %q", m.route.sid, m.subject, m.reply, m.header, m.data))
		}
		into.release(p)
	}
	return messages, left, err
}

// Messages go to their routes, the rest to nats.go, wherever the bytes are torn.
func TestTap(t *testing.T) {
	t.Parallel()
	var sent bytes.Buffer
	var want []string
	random := rand.New(rand.NewPCG(1, 2))
	sent.WriteString("INFO {\"max_payload\":1048576}\r\n+OK\r\n")
	lines := sent.String()
	for i := range 3000 {
		data := bytes.Repeat([]byte{byte(i), '\n'}, random.IntN(200))
		if i == 1500 {
			data = make([]byte, 3*bufferBytes)
		}
		switch i % 5 {
		case 0:
			fmt.Fprintf(&sent, "MSG a 1 %d\r\n%s\r\n", len(data), data)
			want = append(want, fmt.Sprintf("1 \"a\" \"\" \"\" %q", data))
		case 1:
			fmt.Fprintf(&sent, "MSG b.\xff 2 _INBOX.1\t %d\r\n%s\r\n", len(data), data)
			want = append(want, fmt.Sprintf("2 %q \"_INBOX.1\" \"\" %q", "b.\xff", data))
		case 2:
			header := "NATS/1.0\r\nA: b\r\n\r\n"
			fmt.Fprintf(&sent, "HMSG b.c 2 %d %d\r\n%s%s\r\n", len(header), len(header)+len(data), header, data)
			want = append(want, fmt.Sprintf("2 \"b.c\" \"\" %q %q", header, data))
		case 3:
			sent.WriteString("PONG\r\n")
			lines += "PONG\r\n"
		case 4: // of a subscription that has ended
			fmt.Fprintf(&sent, "HMSG b.c 77 r 5 5\r\nMSG a\r\n")
		}
	}
	for name, reader := range map[string]io.Reader{
		"at once": bytes.NewReader(sent.Bytes()), "torn": &tearing{bytes.NewReader(sent.Bytes()), random}, "byte by byte": iotest.OneByteReader(bytes.NewReader(sent.Bytes())),
	} {
		got, rest, err := drain(newTap(reader))
		if err != nil || string(rest) != lines {
			t.Errorf("%s: %v; nats.go gets %d bytes of %d", name, err, len(rest), len(lines))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %d messages of %d, or others", name, len(got), len(want))
		}
	}
}

// tearing reads some bytes at a time.
type tearing struct {
	io.Reader
	random *rand.Rand
}

func (r *tearing) Read(b []byte) (int, error) {
	return r.Reader.Read(b[:min(len(b), 1+r.random.IntN(5000))])
}

// What is not NATS ends the connection, and takes no memory.
func TestTapRefuses(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{
		"MSG a 1 1048577\r\n", "MSG a 1 99999999999999999999\r\n", "MSG a 1 -1\r\n", "MSG a 1\r\n", "MSG a x 1\r\n", "MSG  \r\n",
		"MSG a 1 r x 1\r\n", "HMSG a 1 7 6\r\n", "HMSG a 1 6\r\n", "HMSG a 1 b c d e f g\r\n", "MSG a 1 1\r\nab\r\n", strings.Repeat("x", maxLine),
	} {
		tap, into := newTap(strings.NewReader(sent))
		got, _, err := drain(tap, into)
		if !errors.Is(err, errFrame) || len(got) > 0 {
			t.Errorf("%.40q: %v, %q", sent, err, got)
		}
		if n := len(tap.buffer.bytes); n > 2*maxLine {
			t.Errorf("%.40q: a buffer of %d bytes", sent, n)
		}
	}
}

// The buffers of messages that have been handed on are used again, and no other.
func TestBuffersAreUsedAgain(t *testing.T) {
	pool := &sync.Pool{}
	one := newBuffer(pool, 1)
	a := newArrivals()
	a.add(&parcel{messages: []message{{data: one.bytes[:1]}, {data: one.bytes[1:2]}}}, one)
	a.add(&parcel{messages: []message{{data: one.bytes[2:3]}}}, one)
	one.release() // by the reader
	for i, p := range a.take(nil) {
		if n := one.holders.Load(); n != int32(2-i) {
			t.Errorf("parcel %d: held %d times", i, n)
		}
		a.release(p)
	}
	if n := one.holders.Load(); n != 0 {
		t.Errorf("the buffer is still held %d times", n)
	}
	if large := newBuffer(pool, bufferBytes+1); large.pool != nil || len(large.bytes) != bufferBytes+1 {
		t.Error("a buffer of an unusual size is kept")
	}
}

// A nats.go that numbers its subscriptions otherwise would have messages stored in the wrong streams: it is not let through.
func TestSubscriptionsAreCompared(t *testing.T) {
	t.Parallel()
	for line, ok := range map[string]bool{
		"SUB a  1\r\nPING\r\nSUB b.*  2\r\n": true, "SUB b.* workers 3\r\n": true, "SUB gone  9\r\n": true, "UNSUB 1\r\nCONNECT {}\r\n": true,
		"SUB a  2\r\n": false, "PING\r\nSUB b.* idlers 3\r\n": false, "SUB a\r\n": false, "SUB a x\r\n": false,
	} {
		tap, _ := newTap(nil)
		queued := &route{subject: "b.*"}
		queued.target.Group = "workers"
		tap.listens.add(queued)
		if _, err := tap.Write([]byte(line)); (err == nil) != ok {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// A read from the connection costs no allocation for each message.
func TestReadingAllocatesNothing(t *testing.T) {
	const each = 100
	here, there := net.Pipe()
	defer here.Close()
	block := []byte(strings.Repeat("MSG a 1 5\r\nhello\r\n", each) + "PONG\r\n")
	tap, into := newTap(here)
	var writing sync.WaitGroup
	blocks := make(chan []byte)
	writing.Go(func() {
		for b := range blocks {
			_, _ = there.Write(b)
		}
		_ = there.Close()
	})
	var parcels []*parcel
	answer := make([]byte, 100)
	n := testing.AllocsPerRun(1000, func() {
		blocks <- block
		if _, err := tap.Read(answer); err != nil {
			t.Error(err)
		}
		parcels = into.take(parcels)
		for _, p := range parcels {
			into.release(p)
		}
	})
	close(blocks)
	_ = here.SetDeadline(time.Now())
	writing.Wait()
	if n > mostAllocations {
		t.Errorf("%v allocations for %d messages", n, each)
	}
}

// Whatever a server sends, wherever it is torn: the same comes of it, and no more memory than it sent.
func FuzzTap(f *testing.F) {
	f.Add([]byte("INFO {}\r\nMSG a 1 2\r\nhi\r\nPONG\r\nHMSG b.c 2 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"), uint64(1))
	f.Add([]byte("MSG a 1 1048577\r\n"), uint64(2))
	f.Add([]byte("HMSG a 1 7 6\r\nx"), uint64(3))
	f.Add([]byte("MSG\ta\t1\t0\r\n\r\n-ERR 'x'\r\n"), uint64(4))
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		whole, left, err := drain(newTap(bytes.NewReader(sent)))
		torn, leftTorn, errTorn := drain(newTap(&tearing{bytes.NewReader(sent), rand.New(rand.NewPCG(seed, 0))}))
		if strings.Join(whole, "\n") != strings.Join(torn, "\n") || (err == nil) != (errTorn == nil) {
			t.Errorf("whole: %q and %q, %v; torn: %q and %q, %v", whole, left, err, torn, leftTorn, errTorn)
		}
		if err == nil && !bytes.Equal(left, leftTorn) {
			t.Errorf("nats.go gets %q, or %q", left, leftTorn)
		}
	})
}
