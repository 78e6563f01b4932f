package ordeal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/envelope"
	"github.com/trestlehq/trestle/server/servertest"
)

const (
	messageID = "Nats-Msg-Id"
	// resent is how many messages whose fate is not known a publisher sends again.
	resent = 2000
	// pace is how often a publisher on NATS, who gets no backpressure, sends, and burst how many it sends then.
	pace  = 5 * time.Millisecond
	burst = 40
)

// publisher publishes to one life of the server until that ends. What it returns is a fault, not that the server is gone.
type publisher func(ctx context.Context, s *servertest.Server, l *ledger, random *rand.Rand) error

// overGRPC publishes batches, one after the other, and sends those of unknown fate again under the same ids.
func overGRPC(ctx context.Context, s *servertest.Server, l *ledger, random *rand.Rand) error {
	c, err := client.Connect(ctx, s.GRPC)
	if err != nil {
		return nil //nolint:nilerr // the server is gone
	}
	defer c.Close()
	again := l.unacked(resent)
	for ctx.Err() == nil {
		var numbers []int
		for n := 1 + random.IntN(20); len(numbers) < n; {
			if len(again) > 0 {
				numbers, again = append(numbers, again[0]), again[1:]
				continue
			}
			numbers = append(numbers, l.next())
		}
		messages := make([]client.Message, 0, len(numbers))
		for _, n := range numbers {
			messages = append(messages, client.Message{
				Value: l.payload(n), Headers: []client.HeaderField{{Name: messageID, Value: []byte(l.id(n))}},
			})
		}
		ack, err := c.Stream(l.stream).PublishBatch(ctx, messages)
		if errors.Is(err, client.ErrOutcomeUnknown) || errors.Is(err, client.ErrUnavailable) || ctx.Err() != nil {
			return nil // the server is gone
		}
		if err != nil {
			return err
		}
		if err := noteAck(l, numbers, &ack); err != nil {
			return err
		}
	}
	return nil
}

// noteAck notes the offset that each message of a batch has got, or had got before.
func noteAck(l *ledger, numbers []int, ack *client.Ack) error {
	offsets := make(map[int]int64, len(ack.Duplicates))
	for _, d := range ack.Duplicates {
		offsets[d.Index] = d.Offset
	}
	next := ack.Offset
	for i, n := range numbers {
		offset, duplicate := offsets[i]
		if !duplicate {
			offset = next
			next++
		}
		if err := l.ack(n, offset); err != nil {
			return err
		}
	}
	if got := len(numbers) - len(ack.Duplicates); got != ack.Count {
		return fmt.Errorf("an ack of %d messages says that %d were stored and %d were there", len(numbers), ack.Count, len(ack.Duplicates))
	}
	return nil
}

// overNATS calls send with the numbers of messages, those first that it was asked to send again, until ctx or the
// connection ends.
func overNATS(ctx context.Context, s *servertest.Server, l *ledger, again []int, prepare func(*nats.Conn) error, send func(c *nats.Conn, number int) error) error {
	gone := make(chan struct{})
	c, err := nats.Connect(s.NATS, nats.NoReconnect(), nats.ErrorHandler(quiet), nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	if err != nil {
		return nil //nolint:nilerr // the server is gone
	}
	defer func() { c.Close(); <-gone }()
	if prepare != nil {
		if err := prepare(c); err != nil {
			return nil //nolint:nilerr // the server is gone
		}
	}
	ticks := time.NewTicker(pace)
	defer ticks.Stop()
	for {
		for range burst {
			var number int
			if len(again) > 0 {
				number, again = again[0], again[1:]
			} else {
				number = l.next()
			}
			if err := send(c, number); err != nil {
				return nil //nolint:nilerr // the server is gone
			}
		}
		select {
		case <-ticks.C:
		case <-gone:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// quiet keeps nats.go from printing that the server is gone.
func quiet(*nats.Conn, *nats.Subscription, error) {}

// plain publishes as any NATS client does, each message once.
func plain(ctx context.Context, s *servertest.Server, l *ledger, _ *rand.Rand) error {
	return overNATS(ctx, s, l, nil, nil, func(c *nats.Conn, number int) error {
		return c.Publish(subjectOf(l), l.payload(number))
	})
}

// withID publishes with Nats-Msg-Id, and what it sent last to the life before again: it does not know what was stored.
func withID(ctx context.Context, s *servertest.Server, l *ledger, _ *rand.Rand) error {
	return overNATS(ctx, s, l, l.unacked(resent), nil, func(c *nats.Conn, number int) error {
		return c.PublishMsg(&nats.Msg{
			Subject: subjectOf(l), Data: l.payload(number), Header: nats.Header{messageID: {l.id(number)}},
		})
	})
}

// enveloped publishes frames that ask for an ack of policy ALL, and sends those without an ack again.
func enveloped(ctx context.Context, s *servertest.Server, l *ledger, _ *rand.Rand) error {
	faults := make(chan error, 1)
	fault := func(err error) {
		select {
		case faults <- err:
		default:
		}
	}
	inbox := nats.NewInbox()
	prepare := func(c *nats.Conn) error {
		_, err := c.Subscribe(inbox, func(m *nats.Msg) {
			if err := takeAck(l, m.Data); err != nil {
				fault(err)
			}
		})
		return err
	}
	err := overNATS(ctx, s, l, l.unacked(resent), prepare, func(c *nats.Conn, number int) error {
		m := envelope.Message{
			Value: l.payload(number), Headers: []envelope.Header{{Name: []byte(messageID), Value: []byte(l.id(number))}},
			AckInbox: []byte(inbox), AckPolicy: envelope.AckAll, CorrelationID: binary.AppendUvarint(nil, uint64(number)),
		}
		frame, err := m.Marshal()
		if err != nil {
			fault(err)
			return err
		}
		return c.Publish(subjectOf(l), frame)
	})
	select {
	case fault := <-faults:
		return fault
	default:
		return err
	}
}

func takeAck(l *ledger, frame []byte) error {
	ack, err := envelope.ParseAck(frame)
	if err != nil {
		return fmt.Errorf("an ack cannot be read: %w", err)
	}
	if err := ack.Err(); err != nil {
		return err
	}
	number, _ := binary.Uvarint(ack.CorrelationID)
	return l.ack(int(number), ack.Offset)
}

func subjectOf(l *ledger) string { return l.stream + "." + l.name }
