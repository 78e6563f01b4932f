package replication_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/server/internal/replication"
)

// TestScenarios plays the files of testdata/scenarios. What they are written in is described in DESIGN.md.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d scenarios: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, string(text))
		})
	}
}

// scene is a partition whose replicas do only what a scenario says.
type scene struct {
	brokers map[string]*broker
	now     int64
	held    map[string]func() string // messages on their way
	epochs  map[string]uint64        // of brokers
}

// line is one line of a scenario, cut up.
type line struct {
	words   []string
	options map[string]string
	want    string // behind "=>"
	wanted  bool
	as      string // name under which the message is held back
}

func parseLine(text string) line {
	l := line{options: map[string]string{}}
	text, _, _ = strings.Cut(text, "#")
	text, l.want, l.wanted = strings.Cut(text, "=>")
	l.want = strings.TrimSpace(l.want)
	words := strings.Fields(text)
	for i := 0; i < len(words); i++ {
		key, value, option := strings.Cut(words[i], "=")
		switch {
		case words[i] == "as" && i+1 < len(words):
			i++
			l.as = words[i]
		case option:
			l.options[key] = value
		default:
			l.words = append(l.words, words[i])
		}
	}
	return l
}

func (l line) word(i int) string {
	if i < len(l.words) {
		return l.words[i]
	}
	return ""
}

func (l line) number(i, otherwise int) int {
	if n, err := strconv.Atoi(l.word(i)); err == nil {
		return n
	}
	return otherwise
}

func (l line) option(key string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(l.options[key], 10, 64); err == nil {
		return n
	}
	return otherwise
}

func play(t *testing.T, text string) {
	t.Helper()
	s := &scene{brokers: map[string]*broker{}, held: map[string]func() string{}, epochs: map[string]uint64{}}
	checks := 0
	for i, raw := range strings.Split(text, "\n") {
		l := parseLine(raw)
		if len(l.words) == 0 {
			continue
		}
		got, err := s.step(l)
		if err != nil {
			t.Fatalf("line %d: %s: %v", i+1, raw, err)
		}
		if l.wanted {
			checks++
		}
		if l.wanted && got != l.want {
			t.Fatalf("line %d: %s: got %q\n%s", i+1, raw, got, s)
		}
	}
	if checks == 0 {
		t.Fatal("a scenario that checks nothing")
	}
}

func (s *scene) String() string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(s.brokers)) {
		b := s.brokers[name]
		text += fmt.Sprintf("%s: %v durable %v commit %v\n", name, b.log, b.log.durable, b.committed())
	}
	return text
}

func (s *scene) broker(name string) *broker {
	b := s.brokers[name]
	if b == nil {
		b = &broker{name: name, epoch: 1, log: newToyLog()}
		s.brokers[name] = b
	}
	return b
}

// step does what a line says and returns what came of it.
func (s *scene) step(l line) (string, error) {
	b := s.broker(l.word(1))
	switch l.words[0] {
	case "log":
		return "", s.writeLog(b, l)
	case "view":
		return "", s.view(l)
	case "append":
		b.append(l.number(2, 1), false)
	case "control":
		b.append(l.number(2, 1), true)
	case "sync":
		b.sync(uint64(l.number(2, math.MaxInt32)))
	case "open":
		return s.hold(l, func() string { return s.open(b) }), nil
	case "ask":
		return s.ask(b, l), nil
	case "send":
		return s.send(b, l), nil
	case "tell":
		return s.tell(b, l), nil
	case "progress":
		return s.progress(b, l), nil
	case "replicate":
		s.open(b)
		s.send(b, line{words: l.words[:2]})
		b.sync(math.MaxInt32)
		return s.progress(b, line{}), nil
	case "deliver":
		return s.held[l.word(1)](), nil
	case "propose":
		return s.propose(b), nil
	case "decide":
		return "", s.decide(b, l)
	case "disconnect":
		s.disconnect(b)
	case "restart":
		s.restart(b, l)
	case "compact":
		b.log.compact(uint64(l.number(2, 0)), numbers(l.options["keep"])...)
	case "expire":
		b.log.expire(uint64(l.number(2, 0)))
		b.logStart = int64(l.option("start", uint64(b.log.first.Offset)))
	case "heartbeat":
		b.leader.Heartbeat(s.now)
	case "wait":
		d, err := time.ParseDuration(l.word(1))
		s.now += int64(d)
		return "", err
	default:
		return s.look(b, l)
	}
	return "", nil
}

// look answers what a scenario expects of a replica.
func (s *scene) look(b *broker, l line) (string, error) {
	switch l.words[0] {
	case "commit":
		return strconv.FormatUint(b.committed().Seq, 10), nil
	case "offset": // the high watermark
		return strconv.FormatInt(b.committed().Offset, 10), nil
	case "end":
		return strconv.FormatUint(b.log.end.Seq, 10), nil
	case "batches":
		return b.log.String(), nil
	case "logstart":
		return strconv.FormatInt(b.follower.LogStart(), 10), nil
	case "maximal":
		return strings.Join(b.leader.MaximalISR(), ","), nil
	case "enough":
		return strconv.FormatBool(b.leader.Enough()), nil
	case "deposed":
		return strconv.FormatBool(b.leader == nil), nil
	case "epoch-committed":
		return strconv.FormatBool(b.leader.EpochCommitted()), nil
	case "lease":
		return strconv.FormatBool(b.leader.LeaseHeld(s.now)), nil
	case "ack-leader":
		return strconv.FormatUint(b.leader.AckLeader(s.now).Seq, 10), nil
	case "quarantined":
		return strconv.FormatBool(b.follower.Quarantined()), nil
	case "next":
		_, seq, _, ok := s.leaderOf(b).leader.Next(b.name)
		return fmt.Sprint(seq, ok), nil
	}
	return "", fmt.Errorf("no such word: %s", l.words[0])
}

// writeLog gives a replica batches: "1*3" are three of epoch 1, the first of which is the control batch; "2*2~x" are two that
// differ from all without ~x; "-" goes before epochs whose control batch was not received.
func (s *scene) writeLog(b *broker, l line) error {
	for _, word := range l.words[2:] {
		word, flavour, _ := strings.Cut(word, "~")
		epoch, count, ok := strings.Cut(word, "*")
		n, err := strconv.Atoi(count)
		if !ok || err != nil {
			return fmt.Errorf("%q is not EPOCH*COUNT", word)
		}
		e, err := strconv.ParseUint(epoch, 10, 64)
		if err != nil {
			return err
		}
		for range n {
			b.log.append(e, b.log.last.Epoch < e, flavour)
		}
	}
	b.log.sync(l.option("durable", b.log.end.Seq))
	at := l.option("commit", 1)
	for _, h := range b.log.batches {
		if h.Seq < at {
			b.log.committed = commitlog.Position{Seq: h.Seq + 1, Offset: h.NextOffset}
		}
	}
	return nil
}

// view shows the metadata to the brokers in to=, or to all.
func (s *scene) view(l line) error {
	leader, epoch, _ := strings.Cut(l.options["leader"], "/")
	v := replication.View{
		Leader: leader, PartitionEpoch: l.option("pe", 0), UncleanEpoch: l.option("unclean", 0),
		MinISR: int(l.option("min", 1)), Synced: l.options["sync"] != "no",
	}
	var err error
	if v.LeaderEpoch, err = strconv.ParseUint(epoch, 10, 64); err != nil {
		return err
	}
	if v.PartitionEpoch == 0 {
		v.PartitionEpoch = v.LeaderEpoch * 10
	}
	isr, replicas := names(l.options["isr"]), names(l.options["replicas"])
	if replicas == nil {
		replicas = isr
	}
	for _, pair := range names(l.options["be"]) {
		name, e, _ := strings.Cut(pair, ":")
		if s.epochs[name], err = strconv.ParseUint(e, 10, 64); err != nil {
			return err
		}
	}
	for _, name := range replicas {
		v.Members = append(v.Members, replication.Member{
			Broker: name, BrokerEpoch: max(s.epochs[name], 1), InSync: slices.Contains(isr, name),
			Live: !slices.Contains(names(l.options["dead"]), name),
		})
	}
	to := names(l.options["to"])
	if to == nil {
		to = replicas
	}
	for _, name := range to {
		s.broker(name).viewed(v, s.now)
	}
	return nil
}

func names(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func numbers(list string) []uint64 {
	var all []uint64
	for _, name := range names(list) {
		if n, err := strconv.ParseUint(name, 10, 64); err == nil {
			all = append(all, n)
		}
	}
	return all
}
