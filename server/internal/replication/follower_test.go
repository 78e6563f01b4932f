package replication_test

import (
	"strings"
	"testing"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/replication"
)

// following is a follower b of a with nine batches of epoch 1, five of them committed, and its log.
func following(v replication.View) (*replication.Follower, *toyLog) {
	log := newToyLog()
	for i := range 9 {
		log.append(1, i == 0, "")
	}
	log.sync(log.end.Seq)
	log.committed = at(6)
	return replication.NewFollower(replication.FollowerOptions{
		Broker: "b", BrokerEpoch: 1, View: v, Last: log.last, End: log.end, Durable: log.durable, Committed: log.committed,
	}), log
}

// answer is one about the follower's log as it is.
func answer(f *replication.Follower, kind replication.AnswerKind) replication.Answer {
	o, _ := f.Request()
	return replication.Answer{Kind: kind, LeaderEpoch: o.LeaderEpoch, Session: 7, Last: o.Last, End: o.End.Seq}
}

func streaming(t *testing.T) (*replication.Follower, *toyLog) {
	t.Helper()
	f, log := following(viewOf("a", 5, 50, "a", "b"))
	if v := f.Answered(answer(f, replication.AnswerAccepted), log.history()); v.Kind != replication.Stream {
		t.Fatalf("verdict %+v on an accepted Open", v)
	}
	return f, log
}

func TestWhenAFollowerAsks(t *testing.T) {
	t.Parallel()
	stranger := viewOf("a", 5, 50, "a")
	stranger.Members = stranger.Members[:1]
	for _, try := range []struct {
		name  string
		view  replication.View
		epoch uint64
		want  bool
	}{
		{"a leader is there", viewOf("a", 5, 50, "a"), 1, true},
		{"no leader", viewOf("", 5, 50, "a"), 1, false},
		{"it leads itself", viewOf("b", 5, 50, "a"), 1, false},
		{"it is not registered", viewOf("a", 5, 50, "a"), 0, false},
		{"it is no replica", stranger, 1, false},
		{"its log is of a later epoch", viewOf("a", 0, 50, "a"), 1, false},
	} {
		f := replication.NewFollower(replication.FollowerOptions{
			Broker: "b", BrokerEpoch: try.epoch, View: try.view, Last: replication.Name{Seq: 9, Epoch: 1}, End: at(10),
		})
		if _, ok := f.Request(); ok != try.want {
			t.Errorf("%s: asks %v", try.name, ok)
		}
		if v := f.Answered(replication.Answer{Kind: replication.AnswerAccepted}, replication.History{}); v.Kind != replication.Wait && !try.want {
			t.Errorf("%s: takes an answer that it has not asked for", try.name)
		}
	}
}

func TestAnswersThatSayNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*replication.Answer){
		"of another leader epoch": func(a *replication.Answer) { a.LeaderEpoch = 4 },
		"about another batch":     func(a *replication.Answer) { a.Last.CRC++ },
		"about another end":       func(a *replication.Answer) { a.End-- },
		"unknown":                 func(a *replication.Answer) { a.Kind = replication.AnswerUnknown },
		"of no kind":              func(a *replication.Answer) { a.Kind = 0 },
	} {
		f, log := following(viewOf("a", 5, 50, "a"))
		a := answer(f, replication.AnswerDiverged)
		change(&a)
		if v := f.Answered(a, log.history()); v.Kind != replication.Wait {
			t.Errorf("%s: verdict %+v", name, v)
		}
		if _, ok := f.Request(); !ok {
			t.Errorf("%s: it asks no more", name)
		}
	}
}

func TestFencedFollowerWaitsForItsView(t *testing.T) {
	t.Parallel()
	f, log := following(viewOf("a", 5, 50, "a"))
	a := answer(f, replication.AnswerFenced)
	a.LeaderEpoch = 8
	f.Answered(a, log.history())
	for _, epoch := range []uint64{5, 6, 7} {
		f.Viewed(viewOf("a", epoch, 10*epoch, "a"), 1)
		if _, ok := f.Request(); ok {
			t.Errorf("it asks in leader epoch %d, of which it heard that it is over", epoch)
		}
	}
	f.Viewed(viewOf("a", 8, 80, "a"), 1)
	if _, ok := f.Request(); !ok {
		t.Error("it does not ask in the leader epoch that it heard of")
	}
}

// R8: what a follower deleted cannot be cut: its log begins anew where the leader's does.
func TestDivergenceBelowTheBeginning(t *testing.T) {
	t.Parallel()
	for _, try := range []struct {
		unclean uint64
		want    replication.VerdictKind
	}{{0, replication.Quarantine}, {5, replication.Restart}} {
		v := viewOf("a", 5, 50, "a")
		v.UncleanEpoch = try.unclean
		f, log := following(v)
		log.expire(4)
		a := answer(f, replication.AnswerDiverged)
		a.Diverged, a.Begin = replication.Divergence{Epoch: 0, Seq: 2}, commitlog.Origin
		got := f.Answered(a, log.history())
		if got.Kind != try.want || got.Kind == replication.Restart && (got.Begin != commitlog.Origin || !got.Unclean) {
			t.Errorf("unclean election in epoch %d: verdict %+v", try.unclean, got)
		}
		if _, ok := f.Request(); ok {
			t.Error("it asks before its log has been emptied, or although it has stopped")
		}
		f.Truncated(commitlog.Origin, replication.Name{})
		if _, ok := f.Request(); ok != (got.Kind == replication.Restart) {
			t.Errorf("unclean election in epoch %d: it asks %v", try.unclean, ok)
		}
	}
}

func TestTruncatedLogIsDurable(t *testing.T) {
	t.Parallel()
	f, log := following(viewOf("a", 5, 50, "a"))
	a := answer(f, replication.AnswerDiverged)
	a.Diverged = replication.Divergence{Epoch: 1, Seq: 8}
	if v := f.Answered(a, log.history()); v.Kind != replication.Truncate || v.Seq != 8 || v.Unclean {
		t.Fatalf("verdict %+v", v)
	}
	name, _ := log.held(7)
	f.Truncated(at(8), name)
	if o, ok := f.Request(); !ok || o.Durable != at(8) || o.End != at(8) || o.Last != name {
		t.Errorf("it asks %+v", o)
	}
	if f.Committed() != at(6) {
		t.Errorf("committed %v", f.Committed())
	}
}

// R7, S8, S15: what does not follow although nothing is missing has the logs compared, and the second time stops the
// follower.
func TestBatchesThatDoNotFollow(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(h *replication.BatchHeader){
		"leader epoch 0":  func(h *replication.BatchHeader) { h.Epoch = 0 },
		"leader epoch 6":  func(h *replication.BatchHeader) { h.Epoch = 6 },
		"was appended at": func(h *replication.BatchHeader) { h.Time = -1 },
		"offsets 9 to 10": func(h *replication.BatchHeader) { h.Offset, h.NextOffset = 9, 10 },
		"offsets 7 to 10": func(h *replication.BatchHeader) { h.Offset, h.NextOffset = 7, 10 },
		"offsets 8 to 7":  func(h *replication.BatchHeader) { h.NextOffset = 7 },
		"does not name":   func(h *replication.BatchHeader) { h.PreviousCRC++ },
	} {
		f, log := streaming(t)
		next := newToyLog()
		*next = *log
		next.append(5, false, "")
		h := next.batches[9]
		change(&h)
		b := replication.Batches{LeaderEpoch: 5, Session: 7, Headers: []replication.BatchHeader{h}}
		if v := f.Received(&b); v.Kind != replication.Reopen {
			t.Errorf("%s: verdict %+v", reason, v)
		}
		f.Answered(answer(f, replication.AnswerAccepted), log.history())
		if v := f.Received(&b); v.Kind != replication.Quarantine || !strings.Contains(v.Reason, reason) {
			t.Errorf("%s: verdict %+v", reason, v)
		}
		if !f.Quarantined() {
			t.Errorf("%s: it goes on", reason)
		}
		f.Viewed(viewOf("a", 6, 60, "a", "b"), 1)
		if _, ok := f.Request(); ok {
			t.Errorf("%s: it asks again in another leader epoch", reason)
		}
	}
}

// R7, protocol.md 1.15: seqs may be missing where the leader looked for them and had compacted them away; a frame that got
// lost, or was overtaken, leaves no such hole (seed 306924 of the simulation).
func TestLostFrameIsNoHole(t *testing.T) {
	t.Parallel()
	for from, want := range map[uint64]replication.VerdictKind{10: replication.Append, 11: replication.Reopen, 0: replication.Reopen} {
		f, log := streaming(t)
		next := newToyLog()
		*next = *log
		for range 3 {
			next.append(5, false, "")
		}
		b := replication.Batches{LeaderEpoch: 5, Session: 7, From: from, Headers: next.batches[11:], Compacted: 13}
		if v := f.Received(&b); v.Kind != want {
			t.Errorf("the leader looked from %d on and sends %d: verdict %+v, want %d", from, next.batches[11].Seq, v, want)
		}
	}
}

// A batch that was taken meanwhile proves the doubt wrong.
func TestDoubtIsForgotten(t *testing.T) {
	t.Parallel()
	f, log := streaming(t)
	next := newToyLog()
	*next = *log
	next.append(5, true, "")
	next.append(5, false, "")
	good := replication.Batches{LeaderEpoch: 5, Session: 7, Headers: next.batches[9:]}
	bad := good
	bad.Headers = []replication.BatchHeader{next.batches[9]}
	bad.Headers[0].PreviousCRC++
	f.Received(&bad)
	f.Answered(answer(f, replication.AnswerAccepted), log.history())
	if v := f.Received(&good); v.Kind != replication.Append {
		t.Errorf("verdict %+v on batches that follow", v)
	}
	f.Disconnected() // they were not appended
	f.Answered(answer(f, replication.AnswerAccepted), log.history())
	if v := f.Received(&bad); v.Kind != replication.Reopen {
		t.Errorf("verdict %+v on the next that does not follow", v)
	}
}

func TestMessagesOutsideTheSession(t *testing.T) {
	t.Parallel()
	f, _ := streaming(t)
	for _, try := range []struct {
		epoch, session uint64
		want           replication.VerdictKind
	}{
		{4, 7, replication.Drop},
		{6, 7, replication.Drop},
		{5, 6, replication.Drop},
		{5, 7, replication.Wait},
		{5, 8, replication.Reopen},
		{5, 8, replication.Drop}, // the leader is at another session: it has none now
	} {
		if v := f.CommitTold(replication.Commit{LeaderEpoch: try.epoch, Session: try.session, Position: at(6)}); v.Kind != try.want {
			t.Errorf("a word of session %d in leader epoch %d: verdict %+v", try.session, try.epoch, v)
		}
	}
	if _, ok := f.Progress(); ok {
		t.Error("it tells progress without a session")
	}
	if v := f.Received(&replication.Batches{LeaderEpoch: 5, Session: 7}); v.Kind != replication.Drop {
		t.Errorf("verdict %+v on batches without a session", v)
	}
}

func TestProgressIsToldOnce(t *testing.T) {
	t.Parallel()
	f, log := streaming(t)
	tells := func(want bool) replication.Progress {
		t.Helper()
		p, ok := f.Progress()
		if ok != want {
			t.Errorf("it tells %+v: %v", p, ok)
		}
		return p
	}
	tells(true)
	tells(false)
	log.append(5, true, "")
	f.Appended(log.end, log.last)
	if p := tells(true); p.Received != log.end || p.Durable != at(10) || p.Session != 7 {
		t.Errorf("progress %+v", p)
	}
	f.Synced(log.end)
	f.Synced(at(3)) // found before, told later
	if p := tells(true); p.Durable != log.end {
		t.Errorf("progress %+v", p)
	}
	// A member need not say which partition epoch it knows; who is to become one does.
	f.Viewed(viewOf("a", 5, 51, "a", "b"), 1)
	tells(false)
	f.Viewed(viewOf("a", 5, 52, "a"), 1)
	if p := tells(true); p.PartitionEpoch != 52 {
		t.Errorf("progress %+v", p)
	}
	// An older view, or one from before the registration, changes nothing.
	f.Viewed(viewOf("c", 4, 40, "a"), 1)
	f.Viewed(viewOf("c", 6, 60, "a"), 0)
	tells(false)
}

// Another registration, or another leader, ends the session.
func TestFollowerAsksAgain(t *testing.T) {
	t.Parallel()
	f, log := streaming(t)
	v := viewOf("a", 5, 50, "a", "b")
	v.Members[1].BrokerEpoch = 2
	f.Viewed(v, 2)
	if o, ok := f.Request(); !ok || o.BrokerEpoch != 2 {
		t.Errorf("it asks %+v, %v", o, ok)
	}
	f.Answered(answer(f, replication.AnswerAccepted), log.history())
	f.Viewed(viewOf("c", 6, 60, "b", "c"), 2)
	if o, ok := f.Request(); !ok || o.LeaderEpoch != 6 {
		t.Errorf("it asks %+v, %v", o, ok)
	}
}

// 1.15: the name of a batch that may have been rewritten has no CRC, here and on the leader.
func TestNameOfCompactedBatch(t *testing.T) {
	t.Parallel()
	f := replication.NewFollower(replication.FollowerOptions{
		Broker: "b", BrokerEpoch: 1, View: viewOf("a", 5, 50, "a"), Last: replication.Name{Seq: 9, Epoch: 1, CRC: 77}, End: at(10),
		Compacted: 10,
	})
	if o, _ := f.Request(); o.Last != (replication.Name{Seq: 9, Epoch: 1}) {
		t.Errorf("it names %+v", o.Last)
	}
}
