package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/envelope"
)

// patience is how long anything may take that a test waits for, on a machine that has no time for it.
const patience = time.Minute

// publish sends one message and waits for the first ack of it until the context ends. After a context that ended the
// outcome is unknown: the message may be stored.
func publish(ctx context.Context, nc *nats.Conn, subject string, m envelope.Message) (envelope.Ack, error) {
	// Listen first, or the ack may come before anyone listens.
	acks, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		return envelope.Ack{}, fmt.Errorf("listen for the ack: %w", err)
	}
	defer func() { _ = acks.Unsubscribe() }()
	m.AckInbox = []byte(acks.Subject)
	m.CorrelationID = []byte("1") // any that tells apart what is sent to one inbox
	frame, err := m.Marshal()
	if err != nil {
		return envelope.Ack{}, err
	}
	if err := nc.Publish(subject, frame); err != nil {
		return envelope.Ack{}, fmt.Errorf("publish on %s: %w", subject, err)
	}
	for {
		reply, err := acks.NextMsgWithContext(ctx)
		if err != nil {
			return envelope.Ack{}, fmt.Errorf("wait for the ack of a message on %s: %w", subject, err)
		}
		ack, err := envelope.ParseAck(reply.Data)
		if err == nil && bytes.Equal(ack.CorrelationID, m.CorrelationID) {
			return ack, ack.Err()
		}
		// Anyone may send anything to an inbox.
	}
}

// What the package's documentation teaches works over NATS.
func TestPublishOverNATS(t *testing.T) {
	publisher, broker := connectTwo(t)
	captured := make(chan envelope.Message, 8)
	_, err := broker.Subscribe("sensors.>", func(msg *nats.Msg) {
		m, err := envelope.Parse(msg.Data)
		if err != nil {
			captured <- envelope.Message{Value: msg.Data}
			return
		}
		captured <- m
		_ = broker.Publish(string(m.AckInbox), []byte("not an ack"))
		ack := envelope.Ack{
			Stream: []byte("temperatures"), Subject: []byte(msg.Subject), Offset: 7,
			AckInbox: m.AckInbox, CorrelationID: m.CorrelationID, AckPolicy: m.AckPolicy,
		}
		if strings.HasSuffix(msg.Subject, ".refused") {
			ack.Error, ack.Reason = envelope.FirstExtension, []byte("read only")
		}
		if frame, err := ack.Marshal(); err == nil {
			_ = broker.Publish(string(m.AckInbox), frame)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	ack, err := publish(ctx, publisher, "sensors.temp", envelope.Message{Value: []byte("21.5"), AckPolicy: envelope.AckAll})
	if err != nil || ack.Offset != 7 || string(ack.Stream) != "temperatures" || ack.AckPolicy != envelope.AckAll {
		t.Errorf("ack %+v, %v", ack, err)
	}
	if m := <-captured; string(m.Value) != "21.5" {
		t.Errorf("captured %q", m.Value)
	}
	ack, err = publish(ctx, publisher, "sensors.refused", envelope.Message{Value: []byte("21.5")})
	if !errors.Is(err, envelope.ErrRefused) || ack.Error != envelope.FirstExtension || string(ack.Reason) != "read only" {
		t.Errorf("negative ack %+v, %v", ack, err)
	}
	<-captured
	if err := publisher.Publish("sensors.temp", []byte("21.6")); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-captured:
		if string(m.Value) != "21.6" {
			t.Errorf("captured %q of a plain message", m.Value)
		}
	case <-ctx.Done():
		t.Error("a plain message did not arrive")
	}
}

// connectTwo starts a NATS server and connects two clients to it.
func connectTwo(t *testing.T) (publisher, broker *nats.Conn) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not get ready")
	}
	var conns [2]*nats.Conn
	for i := range conns {
		if conns[i], err = nats.Connect(s.ClientURL(), nats.Timeout(patience)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conns[i].Close)
	}
	return conns[0], conns[1]
}
