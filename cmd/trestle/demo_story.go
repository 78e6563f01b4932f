package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
)

const (
	demoStream = "orders"
	demoPlain  = 5000 // messages over NATS before the crash
	demoAfter  = 1000 // and after it
	demoBatch  = 50   // messages in a gRPC batch
	demoAcked  = 1000 // messages over gRPC before the crash
)

// demoStory runs the scenes of the demo one after the other; each checks what it says.
type demoStory struct {
	inv     *invocation
	program string
	dir     string
	env     []string

	child  *childServer
	client *client.Client
	stream *client.Stream

	step int
	// seen is all that was read and checked so far, from offset 0.
	seen []client.Message
}

// close ends what the story started, whether it came to its end or not.
func (s *demoStory) close() {
	s.disconnect()
	if s.child != nil {
		s.child.kill()
	}
}

func (s *demoStory) disconnect() {
	if s.client != nil {
		// Whatever is not settled was judged by its own error.
		_ = s.client.Close()
		s.client = nil
	}
}

func (s *demoStory) tell(ctx context.Context) error {
	if err := s.printf("trestle demo, in %s, on ports of its own\n", s.dir); err != nil {
		return err
	}
	scenes := []func(context.Context) error{
		s.startServer, s.createStream, s.publishPlain, s.publishAcked, s.crash, s.publishAfter, s.stopServer,
	}
	for _, scene := range scenes {
		if err := scene(ctx); err != nil {
			return s.withLog(err)
		}
	}
	return s.printf(`Nothing acked was lost and nothing that was read has changed. Now one of your own:
    trestle server
    trestle stream create orders --subject 'orders.>'
    nats pub orders.42 '{"id":42}'
    trestle sub orders --from earliest
`)
}

// withLog adds what the server had to say to an error.
func (s *demoStory) withLog(err error) error {
	if s.child == nil || errors.Is(err, errOutput) {
		return err
	}
	return s.child.withLog(err)
}

func (s *demoStory) printf(format string, args ...any) error {
	return outputError(fmt.Fprintf(s.inv.stdout, format, args...))
}

// say prints one line of the story.
func (s *demoStory) say(what, format string, args ...any) error {
	s.step++
	return s.printf("%2d  %-26s %s\n", s.step, what, fmt.Sprintf(format, args...))
}

func (s *demoStory) startServer(ctx context.Context) error {
	if err := s.launch(ctx); err != nil {
		return err
	}
	return s.say("a server", "ready in %s, gRPC on %s, NATS on %s", took(s.child.startTime), s.child.ready["grpc"], s.child.ready["nats"])
}

// launch starts a server on the folder of the demo and connects to it.
func (s *demoStory) launch(ctx context.Context) error {
	args := []string{
		"server", "--data-dir", s.dir, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0",
		"--nats-listen", "127.0.0.1:0",
	}
	child, err := startChild(ctx, s.program, args, s.env)
	if err != nil {
		return err
	}
	s.child = child
	if s.client, err = client.Connect(ctx, child.ready["grpc"]); err != nil {
		return err
	}
	s.stream = s.client.Stream(demoStream)
	return nil
}

func (s *demoStory) createStream(ctx context.Context) error {
	if _, err := s.client.CreateStream(ctx, client.StreamConfig{Name: demoStream, Subjects: []string{demoStream + ".>"}}); err != nil {
		return fmt.Errorf("create the stream: %w", err)
	}
	return s.say("a stream", "%s records what is published on %s.>", demoStream, demoStream)
}

func (s *demoStory) publishPlain(ctx context.Context) error {
	messages := slices.Collect(plainMessages(0, demoPlain))
	messages = append(messages, published{
		subject: demoStream + ".with.headers", reply: "answers.to.me", value: []byte("\x00\xff any bytes \x80"),
		headers: []client.HeaderField{{Name: "Trace-Id", Value: []byte("7f3a")}, {Name: "Trace-Id", Value: []byte("9c41")}},
	})
	spent, err := s.overNATS(ctx, messages)
	if err != nil {
		return err
	}
	if err := s.say("plain NATS messages", "%s published in %s by a client that knows nothing of trestle", count(len(messages)), took(spent)); err != nil {
		return err
	}
	return s.readOn(ctx, messages)
}

// overNATS publishes with a plain NATS client and returns when the NATS server has all of it.
func (s *demoStory) overNATS(ctx context.Context, messages []published) (time.Duration, error) {
	conn, err := nats.Connect(s.child.ready["nats"], nats.Name("trestle demo"))
	if err != nil {
		return 0, fmt.Errorf("connect to NATS at %s: %w", s.child.ready["nats"], err)
	}
	defer conn.Close()
	began := time.Now()
	for _, m := range messages {
		msg := &nats.Msg{Subject: m.subject, Reply: m.reply, Data: m.value}
		for _, h := range m.headers {
			if msg.Header == nil {
				msg.Header = nats.Header{}
			}
			msg.Header.Add(h.Name, string(h.Value))
		}
		if err := conn.PublishMsg(msg); err != nil {
			return 0, fmt.Errorf("publish over NATS: %w", err)
		}
	}
	if err := conn.FlushWithContext(ctx); err != nil {
		return 0, fmt.Errorf("publish over NATS: %w", err)
	}
	return time.Since(began), nil
}

// readOn reads what was published last and compares it; then the stream must count it.
func (s *demoStory) readOn(ctx context.Context, messages []published) error {
	first, began := int64(len(s.seen)), time.Now()
	got, err := s.read(ctx, len(messages), client.FromOffset(first))
	if err != nil {
		return err
	}
	spent := time.Since(began)
	if err := checkContent(got, messages, first); err != nil {
		return fmt.Errorf("what was read is not what was published: %w", err)
	}
	s.seen = append(s.seen, got...)
	info, err := s.stream.Info(ctx)
	if err != nil {
		return err
	}
	if found := messagesOf(&info); found != int64(len(s.seen)) {
		return fmt.Errorf("expected the stream to count %d messages, found %d", len(s.seen), found)
	}
	return s.say("read back over gRPC", "%s in %s, every byte as published; the stream counts %s",
		count(len(got)), took(spent), count(len(s.seen)))
}

// read returns the next n messages from where opts say, or with n < 0 all until the stop position.
func (s *demoStory) read(ctx context.Context, n int, opts ...client.SubscribeOption) ([]client.Message, error) {
	sub, err := s.stream.Subscribe(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	defer sub.Stop()
	var got []client.Message
	for n < 0 || len(got) < n {
		m, err := sub.Next(ctx)
		if n < 0 && errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read message %d: %w", len(got), err)
		}
		got = append(got, *m.Clone())
	}
	return got, nil
}

func (s *demoStory) publishAcked(ctx context.Context) error {
	messages := slices.Collect(keyedMessages("acked", 0, demoAcked))
	began := time.Now()
	for i, batch := range slices.Collect(slices.Chunk(messages, demoBatch)) {
		ack, err := s.stream.PublishBatch(ctx, asMessages(batch))
		if err != nil {
			return fmt.Errorf("publish over gRPC: %w", err)
		}
		if want := int64(len(s.seen) + i*demoBatch); ack.Offset != want {
			return fmt.Errorf("expected an ack for offset %d, found %d", want, ack.Offset)
		}
	}
	if err := s.say("messages over gRPC", "%s in batches of %d, each acked after its fsync, in %s",
		count(len(messages)), demoBatch, took(time.Since(began))); err != nil {
		return err
	}
	return s.readOn(ctx, messages)
}

func (s *demoStory) publishAfter(ctx context.Context) error {
	messages := slices.Collect(plainMessages(demoPlain, demoPlain+demoAfter))
	if _, err := s.overNATS(ctx, messages); err != nil {
		return err
	}
	if err := s.say("plain NATS messages", "%s more, at offset %s and on", count(len(messages)), count(len(s.seen))); err != nil {
		return err
	}
	return s.readOn(ctx, messages)
}

func (s *demoStory) stopServer(ctx context.Context) error {
	s.disconnect()
	began := time.Now()
	if err := s.child.stop(ctx); err != nil {
		return err
	}
	return s.say("SIGTERM", "stopped in %s, exit code 0", took(time.Since(began)))
}

// plainMessages are the messages from number first to before end as a plain NATS client sends them: subject and bytes.
func plainMessages(first, end int) iter.Seq[published] {
	return func(yield func(published) bool) {
		for i := first; i < end; i++ {
			value := fmt.Appendf(nil, `{"id":%d,"total":%d,"note":%q}`, i, i*i%9973, filler(i))
			if !yield(published{subject: fmt.Sprintf("%s.%d", demoStream, i%100), value: value}) {
				return
			}
		}
	}
}

// keyedMessages are messages with a key and a subject, named so that no two are alike.
func keyedMessages(name string, first, end int) iter.Seq[published] {
	return func(yield func(published) bool) {
		for i := first; i < end; i++ {
			m := published{
				subject: fmt.Sprintf("%s.%d", demoStream, i%100),
				key:     fmt.Appendf(nil, "customer-%d", i%37),
				value:   fmt.Appendf(nil, "%s %d %s", name, i, filler(i)),
			}
			if !yield(m) {
				return
			}
		}
	}
}

// filler is text whose length and letters depend on i.
func filler(i int) string {
	text := make([]byte, i*7919%241)
	for j := range text {
		text[j] = 'a' + byte((i*31+j*j)%26)
	}
	return string(text)
}

func asMessages(batch []published) []client.Message {
	messages := make([]client.Message, len(batch))
	for i, m := range batch {
		messages[i] = client.Message{Subject: m.subject, Key: m.key, Value: m.value}
	}
	return messages
}

func took(d time.Duration) string {
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
