package replication_test

import (
	"fmt"
	"math"
	"strings"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/replication"
)

func (s *scene) leaderOf(b *broker) *broker { return s.broker(b.view.Leader) }

// hold does it now, or when it is delivered.
func (s *scene) hold(l line, deliver func() string) string {
	if l.as != "" {
		s.held[l.as] = deliver
		return "held"
	}
	return deliver()
}

// open asks, and does what is answered, until there is a stream or nothing more to do.
func (s *scene) open(b *broker) string {
	var did []string
	for range 9 {
		o, ok := b.follower.Request()
		if !ok {
			break
		}
		a, ok := s.leaderOf(b).asked(o, s.now)
		if !ok {
			did = append(did, "no leader")
			break
		}
		word := b.answered(a)
		did = append(did, word)
		if !strings.HasPrefix(word, "truncate") && !strings.HasPrefix(word, "restart") {
			break
		}
	}
	if len(did) == 0 {
		return "nothing"
	}
	return strings.Join(did, ", ")
}

// ask asks once. The request may be held back ("ask b as x"), or the answer ("ask b answer=x"), or come from another log
// than the replica has (from=).
func (s *scene) ask(b *broker, l line) string {
	o, ok := b.follower.Request()
	if !ok {
		return "nothing"
	}
	o.BrokerEpoch = l.option("be", o.BrokerEpoch)
	o.LeaderEpoch = l.option("epoch", o.LeaderEpoch)
	leader := s.leaderOf(b)
	return s.hold(l, func() string {
		a, ok := leader.asked(o, s.now)
		if !ok {
			return "no leader"
		}
		if l.options["answer"] != "" {
			s.held[l.options["answer"]] = func() string { return b.answered(a) }
		}
		if l.options["answer"] != "" || l.options["only"] != "" {
			return [...]string{"", "accepted", "diverged", "gone", "fenced", "unknown", "corrupt"}[a.Kind]
		}
		return b.answered(a)
	})
}

// send brings a follower batches: as many as there are, or as said.
func (s *scene) send(b *broker, l line) string {
	f, ok := s.leaderOf(b).frame(b.name, l.number(2, math.MaxInt32))
	if !ok {
		return "nothing"
	}
	if l.options["chain"] == "broken" {
		f.batches.Headers[0].PreviousCRC ^= 1
	}
	n := len(f.batches.Headers)
	return s.hold(l, func() string {
		word := b.receives(f)
		if word == "append" {
			return fmt.Sprint("append ", n)
		}
		return word
	})
}

// tell brings a follower the commit position.
func (s *scene) tell(b *broker, l line) string {
	leader := s.leaderOf(b).leader
	session, ok := leader.SessionOf(b.name)
	if !ok {
		return "no session"
	}
	c := s.leaderOf(b).commit(session)
	return s.hold(l, func() string { return b.told(c) })
}

// progress brings the leader what a follower says, or what the options say that it says.
func (s *scene) progress(b *broker, l line) string {
	p, _ := b.follower.Progress()
	if p.Session == 0 {
		p.Broker, p.BrokerEpoch, p.LeaderEpoch = b.name, b.epoch, b.view.LeaderEpoch
	}
	p.Received.Seq = l.option("received", p.Received.Seq)
	p.Durable.Seq = l.option("durable", p.Durable.Seq)
	p.Session = l.option("session", p.Session)
	p.LeaderEpoch = l.option("epoch", p.LeaderEpoch)
	p.BrokerEpoch = l.option("be", p.BrokerEpoch)
	leader := s.leaderOf(b)
	return s.hold(l, func() string {
		if leader.leader == nil {
			return "no leader"
		}
		counted := leader.leader.Progressed(p, s.now)
		leader.keepCommit()
		if counted {
			return "counted"
		}
		return "not counted"
	})
}

func (s *scene) propose(b *broker) string {
	p, ok := b.leader.Proposal(s.now)
	if !ok {
		return "nothing"
	}
	var isr []string
	for _, m := range p.ISR {
		if m.BrokerEpoch > 1 {
			m.Broker += fmt.Sprint(":", m.BrokerEpoch)
		}
		isr = append(isr, m.Broker)
	}
	return strings.Join(isr, ",")
}

func (s *scene) decide(b *broker, l line) error {
	d, ok := map[string]replication.Decision{
		"accepted": replication.Accepted, "refused": replication.Refused, "stale": replication.Stale, "unknown": replication.Unknown,
	}[l.word(2)]
	if !ok {
		return fmt.Errorf("no such decision: %q", l.word(2))
	}
	p, under := b.leader.Proposal(s.now)
	if !under {
		return fmt.Errorf("nothing is proposed")
	}
	b.leader.Decided(p, d, s.now)
	b.keepCommit()
	return nil
}

// disconnect breaks the connection of a follower, on both sides.
func (s *scene) disconnect(b *broker) {
	b.follower.Disconnected()
	if leader := s.leaderOf(b).leader; leader != nil {
		session, _ := leader.SessionOf(b.name)
		leader.Disconnected(b.name, session)
	}
}

// restart ends a broker's process and begins another under a new broker epoch (be=). What was not durable is lost; with
// log=empty all is, and with be= left out it is only the log that begins anew.
func (s *scene) restart(b *broker, l line) {
	b.log.crash(0)
	if l.options["log"] == "empty" {
		b.log.reset(commitlog.Origin)
	}
	b.epoch = l.option("be", b.epoch)
	b.follow()
}
