package replication_test

import (
	"slices"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/replication"
)

// at is the position of a log in which every batch but the first has a record.
func at(seq uint64) commitlog.Position {
	return commitlog.Position{Seq: seq, Offset: max(int64(seq)-2, 0)}
}

func viewOf(leader string, epoch, partitionEpoch uint64, isr ...string) replication.View {
	v := replication.View{Leader: leader, LeaderEpoch: epoch, PartitionEpoch: partitionEpoch, MinISR: 1, Synced: true}
	for _, name := range []string{"a", "b", "c"} {
		v.Members = append(v.Members, replication.Member{
			Broker: name, BrokerEpoch: 1, Live: true, InSync: slices.Contains(isr, name),
		})
	}
	return v
}

// leading is a leader a with a durable log of nine batches and the epoch batch, and that log.
func leading(v replication.View) (*replication.Leader, *toyLog) {
	log := newToyLog()
	for i := range 9 {
		log.append(1, i == 0, "")
	}
	before := log.end
	log.append(v.LeaderEpoch, true, "")
	log.sync(log.end.Seq)
	return replication.NewLeader(replication.LeaderOptions{
		Broker: "a", View: v, End: log.end, Durable: log.durable, Committed: commitlog.Origin, EpochBatch: before,
	}, 0), log
}

func openAt(l *replication.Leader, log *toyLog, broker string, seq uint64, credit int64) replication.Answer {
	name, _ := log.held(seq - 1)
	return l.Opened(replication.Open{
		Broker: broker, BrokerEpoch: 1, LeaderEpoch: l.LeaderEpoch(), PartitionEpoch: 100, Last: name,
		Durable: at(seq), End: at(seq), Credit: credit,
	}, log.history(), log.held, log.compacted, 0)
}

func TestCredit(t *testing.T) {
	t.Parallel()
	l, log := leading(viewOf("a", 5, 50, "a", "b"))
	if _, _, _, ok := l.Next("b"); ok {
		t.Error("batches go to a follower without a session")
	}
	a := openAt(l, log, "b", 2, 300)
	session, seq, credit, ok := l.Next("b")
	if session != a.Session || seq != 2 || credit != 300 || !ok {
		t.Errorf("at first: session %d, seq %d, credit %d, %v", session, seq, credit, ok)
	}
	l.Sent("b", session, 4, 200)
	if _, seq, credit, ok := l.Next("b"); seq != 4 || credit != 100 || !ok {
		t.Errorf("with 200 of 300 bytes under way: seq %d, credit %d, %v", seq, credit, ok)
	}
	l.Sent("b", session, 6, 200)
	l.Sent("b", session+1, 99, 200) // of another session
	if _, _, _, ok := l.Next("b"); ok {
		t.Error("batches go although 400 of 300 bytes are under way")
	}
	word := replication.Progress{Broker: "b", BrokerEpoch: 1, LeaderEpoch: 5, Session: session, Received: at(4), Durable: at(4)}
	for range 2 { // the same word twice frees nothing twice
		if !l.Progressed(word, 0) {
			t.Error("the word of the present session does not count")
		}
	}
	if _, seq, credit, ok := l.Next("b"); seq != 6 || credit != 100 || !ok {
		t.Errorf("with 200 of 300 bytes under way again: seq %d, credit %d, %v", seq, credit, ok)
	}
	// One batch always goes, however large, when nothing is under way.
	l.Sent("b", session, 7, 5000)
	word.Received = at(6)
	l.Progressed(word, 0)
	if _, _, _, ok := l.Next("b"); ok {
		t.Error("batches go beside one that is larger than the credit")
	}
	word.Received = at(7)
	l.Progressed(word, 0)
	if _, seq, credit, ok := l.Next("b"); seq != 7 || credit != 300 || !ok {
		t.Errorf("with nothing under way: seq %d, credit %d, %v", seq, credit, ok)
	}
	l.Disconnected("b", session+1)
	if got, ok := l.SessionOf("b"); !ok || got != session {
		t.Error("the end of another session ends this one")
	}
	l.Disconnected("b", session)
	if _, ok := l.SessionOf("b"); ok {
		t.Error("a session goes on that ended")
	}
	if l.Progressed(word, 0) {
		t.Error("the word of a session counts that ended")
	}
}

func TestStrangersAndTheLeaderItself(t *testing.T) {
	t.Parallel()
	l, log := leading(viewOf("a", 5, 50, "a", "b"))
	for _, broker := range []string{"a", "z"} {
		if a := openAt(l, log, broker, 2, 0); a.Kind != replication.AnswerUnknown {
			t.Errorf("%s gets answer %d", broker, a.Kind)
		}
		if l.Progressed(replication.Progress{Broker: broker, BrokerEpoch: 1, LeaderEpoch: 5, Session: 1, Received: at(9)}, 0) {
			t.Errorf("the word of %s counts", broker)
		}
		l.Disconnected(broker, 0)
		l.Sent(broker, 0, 9, 9)
		if _, ok := l.SessionOf(broker); ok {
			t.Errorf("%s has a session", broker)
		}
	}
}

func TestDeposedLeaderAnswers(t *testing.T) {
	t.Parallel()
	l, log := leading(viewOf("a", 5, 50, "a", "b"))
	openAt(l, log, "b", 11, 0)
	l.Heartbeat(leaseTime)
	if l.Committed().Seq != 11 || !l.LeaseHeld(leaseTime+1) {
		t.Fatalf("committed %v, lease %v", l.Committed(), l.LeaseHeld(leaseTime+1))
	}
	l.Viewed(viewOf("b", 6, 60, "a", "b"), 1)
	l.Viewed(viewOf("c", 7, 70, "a", "b"), 1)
	l.Viewed(viewOf("a", 5, 65, "a", "b"), 1) // older
	l.Appended(at(12))
	l.Synced(at(12))
	l.Appended(at(11))
	l.Synced(at(11))
	for _, try := range []struct {
		epoch uint64
		want  replication.AnswerKind
	}{{6, replication.AnswerFenced}, {7, replication.AnswerUnknown}, {8, replication.AnswerUnknown}} {
		o := replication.Open{Broker: "b", BrokerEpoch: 1, LeaderEpoch: try.epoch}
		if a := l.Opened(o, log.history(), log.held, 0, 1); a.Kind != try.want || a.LeaderEpoch != 7 {
			t.Errorf("an Open of leader epoch %d gets answer %d of leader epoch %d", try.epoch, a.Kind, a.LeaderEpoch)
		}
	}
	_, proposes := l.Proposal(1)
	_, _, _, sends := l.Next("b")
	_, session := l.SessionOf("b")
	counts := l.Progressed(replication.Progress{Broker: "b", BrokerEpoch: 1, LeaderEpoch: 5, Session: 1, Received: at(12)}, 1)
	if !l.Deposed() || l.LeaseHeld(leaseTime+1) || l.Enough() || proposes || sends || session || counts || l.AckLeader(1) != l.Committed() {
		t.Error("a deposed leader goes on leading")
	}
	if l.Committed().Seq != 11 {
		t.Errorf("a deposed leader commits up to %v", l.Committed())
	}
}

func TestLeaderThatTheViewDoesNotName(t *testing.T) {
	t.Parallel()
	if l, _ := leading(viewOf("b", 5, 50, "a", "b")); !l.Deposed() {
		t.Error("a leadership begins that the metadata does not know")
	}
}

func TestLeaderThatStopsProposesNothing(t *testing.T) {
	t.Parallel()
	v := viewOf("a", 5, 50, "a")
	l, log := leading(v)
	openAt(l, log, "b", 11, 0)
	v.PartitionEpoch, v.Members = 51, slices.Clone(v.Members)
	v.Members[0].Live = false
	l.Viewed(v, 0)
	if p, ok := l.Proposal(0); ok {
		t.Errorf("it proposes %+v, which would be refused", p)
	}
}

func TestDecisionsOnOtherProposals(t *testing.T) {
	t.Parallel()
	l, log := leading(viewOf("a", 5, 50, "a"))
	l.Decided(replication.Proposal{}, replication.Refused, 0)
	openAt(l, log, "b", 11, 0)
	p, ok := l.Proposal(0)
	if !ok || len(p.ISR) != 2 {
		t.Fatalf("proposal %+v, %v", p, ok)
	}
	other := p
	other.ISR = other.ISR[:1]
	l.Decided(other, replication.Refused, 0)
	other = p
	other.PartitionEpoch--
	l.Decided(other, replication.Refused, 0)
	if again, ok := l.Proposal(0); !ok || len(again.ISR) != 2 {
		t.Error("the fate of another proposal is taken for that of this one")
	}
	l.Decided(p, replication.Accepted, 0)
	if _, ok := l.Proposal(0); ok {
		t.Error("an accepted proposal is repeated")
	}
	if got := l.MaximalISR(); len(got) != 2 {
		t.Errorf("maximal ISR %q before the view came", got)
	}
}

func TestViewOfTheSamePartitionEpoch(t *testing.T) {
	t.Parallel()
	v := viewOf("a", 5, 50, "a")
	l, log := leading(v)
	openAt(l, log, "b", 11, 0)
	registered := v
	registered.Members = slices.Clone(v.Members)
	registered.Members[1].BrokerEpoch = 2
	l.Viewed(registered, 0)
	if _, ok := l.SessionOf("b"); ok {
		t.Error("the session of a former life goes on")
	}
	l.Viewed(v, 0) // from before the registration, though of the same partition epoch
	if a := openAt(l, log, "b", 11, 0); a.Kind != replication.AnswerUnknown {
		t.Errorf("a former life gets answer %d", a.Kind)
	}
}

func TestSessionsOfALeaderMadeAnew(t *testing.T) {
	t.Parallel()
	v := viewOf("a", 5, 50, "a", "b")
	l, log := leading(v)
	before := openAt(l, log, "b", 11, 0).Session
	l = replication.NewLeader(replication.LeaderOptions{
		Broker: "a", View: v, End: log.end, Durable: log.end, Committed: commitlog.Origin, EpochBatch: at(10),
	}, 1_000)
	if after := openAt(l, log, "b", 11, 0).Session; after <= before {
		t.Errorf("session %d of the same leader epoch comes after session %d", after, before)
	}
}

func TestLineage(t *testing.T) {
	t.Parallel()
	log := newToyLog()
	for epoch, n := range []int{0, 3, 0, 3, 0, 0, 2} {
		for i := range n {
			log.append(uint64(epoch), i == 0, "")
		}
	}
	log.expire(3) // 3 of epoch 1, 4 to 6 of epoch 3, 7 and 8 of epoch 6
	l, _ := leading(viewOf("a", 6, 60, "a"))
	empty := func(uint64) (replication.Name, bool) { return replication.Name{}, false }
	named := func(seq, epoch uint64) replication.Open {
		n := replication.Name{Seq: seq, Epoch: epoch}
		if held, ok := log.held(seq); ok && held.Epoch == epoch {
			n = held
		}
		return replication.Open{Last: n, End: at(seq + 1)}
	}
	for _, try := range []struct {
		name      string
		o         replication.Open
		held      func(uint64) (replication.Name, bool)
		compacted uint64
		want      replication.AnswerKind
		diverged  replication.Divergence
	}{
		{name: "ends before the beginning", o: named(1, 1), want: replication.AnswerGone},
		{name: "empty, from before the beginning", o: replication.Open{End: commitlog.Origin}, want: replication.AnswerGone},
		{name: "empty, within", o: replication.Open{End: at(5)}, want: replication.AnswerAccepted},
		{name: "empty, from behind the end", o: replication.Open{End: at(12)}, want: replication.AnswerGone},
		{name: "ends where this one begins", o: named(2, 1), want: replication.AnswerAccepted},
		{name: "the same", o: named(8, 6), want: replication.AnswerAccepted},
		{name: "a beginning", o: named(5, 3), want: replication.AnswerAccepted},
		{name: "of an epoch between", o: named(9, 5), want: replication.AnswerDiverged, diverged: replication.Divergence{Epoch: 3, Seq: 7}},
		{name: "longer in its epoch", o: named(7, 3), want: replication.AnswerDiverged, diverged: replication.Divergence{Epoch: 3, Seq: 7}},
		{name: "longer than all", o: named(9, 6), want: replication.AnswerDiverged, diverged: replication.Divergence{Epoch: 6, Seq: 9}},
		{name: "of a later epoch", o: named(8, 7), want: replication.AnswerDiverged, diverged: replication.Divergence{Epoch: 6, Seq: 9}},
		{name: "of an epoch before all", o: named(5, 0), want: replication.AnswerGone},
		{name: "an epoch that began later here", o: named(3, 3), want: replication.AnswerCorrupt},
		{name: "the same, in compacted parts", o: named(3, 3), compacted: 6, want: replication.AnswerCorrupt},
		{name: "not to be read here", o: named(5, 3), held: empty, want: replication.AnswerUnknown},
		{name: "compacted away", o: named(5, 3), held: empty, compacted: 6, want: replication.AnswerAccepted},
	} {
		try.o.Broker, try.o.BrokerEpoch, try.o.LeaderEpoch = "b", 1, 6
		held := try.held
		if held == nil {
			held = log.held
		}
		a := l.Opened(try.o, log.history(), held, try.compacted, 0)
		if a.Kind != try.want || a.Diverged != try.diverged {
			t.Errorf("%s: answer %d %+v, want %d %+v", try.name, a.Kind, a.Diverged, try.want, try.diverged)
		}
		if a.Last != try.o.Last || a.End != try.o.End.Seq || a.Begin != log.first {
			t.Errorf("%s: the answer does not say what it is about: %+v", try.name, a)
		}
	}
}

func TestLogThatDivergesFromItsBeginning(t *testing.T) {
	t.Parallel()
	l, log := leading(viewOf("a", 5, 50, "a"))
	for i := range log.batches {
		log.batches[i].Epoch += 2
	}
	a := l.Opened(replication.Open{
		Broker: "b", BrokerEpoch: 1, LeaderEpoch: 5, Last: replication.Name{Seq: 4, Epoch: 2}, End: at(5),
	}, log.history(), log.held, 0, 0)
	if a.Kind != replication.AnswerDiverged || a.Diverged != (replication.Divergence{Epoch: 0, Seq: 1}) {
		t.Errorf("answer %d %+v", a.Kind, a.Diverged)
	}
}
