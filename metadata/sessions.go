package metadata

import (
	"time"

	"github.com/google/uuid"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

const (
	// SessionNanos is how long a broker may be silent before it is fenced (protocol.md 3.3).
	SessionNanos = int64(1500 * time.Millisecond)
	// LastKnownNanos is how long a partition that accepts loss waits for its last known replicas (protocol.md 3.7).
	LastKnownNanos = int64(10 * time.Second)
	// scanNanos is how often partitions without leader are looked for.
	scanNanos = int64(500 * time.Millisecond)
)

// Sessions is what the raft leader knows of who is alive: it says whom to fence, and which partitions have waited long
// enough. It is pure: times are nanoseconds of any clock that never goes back, given by the caller, and what is due is
// proposed by the caller. It asks again until the state shows that it happened. Not safe for concurrent use.
type Sessions struct {
	leading    bool
	brokers    map[string]session
	leaderless map[uuid.UUID]wait
	scanned    int64
}

// session of one life of a broker.
type session struct {
	epoch uint64
	heard int64
	gone  bool
}

// wait of a partition without leader.
type wait struct {
	leaderEpoch uint64 // stays while there is no leader
	since       int64
}

// NewSessions returns a tracker that does not lead.
func NewSessions() *Sessions {
	return &Sessions{brokers: map[string]session{}, leaderless: map[uuid.UUID]wait{}}
}

// Lead begins anew at the moment at which this broker has become raft leader: every broker is granted a full session, since
// its heartbeats went to another (C6).
func (t *Sessions) Lead() {
	*t = *NewSessions()
	t.leading = true
}

// Resign ends it: the broker is raft leader no more, and nothing is due.
func (t *Sessions) Resign() {
	*t = *NewSessions()
}

// Heard notes a heartbeat of that life of a broker. The raft leader hears itself too. Heartbeats of an older life are
// ignored.
func (t *Sessions) Heard(broker string, epoch uint64, now int64) {
	have, known := t.brokers[broker]
	if known && mutant("metadata-former-life-heard") {
		epoch = have.epoch
	}
	if !known || have.epoch <= epoch {
		t.brokers[broker] = session{epoch: epoch, heard: max(now, have.heard)}
	}
}

// Gone notes evidence that the process of that life has ended: its connection was reset and its port refuses a redial. It
// is fenced at once, also by a raft leader that has only just begun, unless it is heard after that (protocol.md 3.4).
// Fencing is always safe: leader epochs protect data, not time.
func (t *Sessions) Gone(broker string, epoch uint64, now int64) {
	have, known := t.brokers[broker]
	if !known || have.epoch <= epoch {
		t.brokers[broker] = session{epoch: epoch, heard: max(now, have.heard), gone: true}
	}
}

// Due returns whom to fence now, all at once; nil: nobody.
func (t *Sessions) Due(s *State, now int64) *clusterv1.FenceBrokers {
	if !t.leading {
		return nil
	}
	var due []*clusterv1.BrokerAt
	for b := range s.Brokers() {
		if b.Fenced {
			continue
		}
		have, known := t.brokers[b.Name]
		if !known || have.epoch < b.Epoch {
			have = session{epoch: b.Epoch, heard: now}
			if mutant("metadata-no-grace") && !known {
				have.heard = now - SessionNanos
			}
			t.brokers[b.Name] = have
		}
		if have.epoch == b.Epoch && (have.gone || now-have.heard >= SessionNanos) {
			due = append(due, &clusterv1.BrokerAt{Name: b.Name, Epoch: b.Epoch})
		}
	}
	if due == nil {
		return nil
	}
	return &clusterv1.FenceBrokers{Brokers: due}
}

// DueElections returns the partitions whose wait for last known replicas is over and which have a candidate; nil: none. A
// new raft leader waits anew. It looks for them twice a second.
func (t *Sessions) DueElections(s *State, now int64) *clusterv1.ElectLastKnown {
	if !t.leading || t.scanned != 0 && now-t.scanned < scanNanos {
		return nil
	}
	t.scanned = max(now, 1)
	waiting := map[uuid.UUID]wait{}
	var due []*clusterv1.PartitionAt
	s.partitions.Root().Walk(func(_ []byte, p *Partition) bool {
		if p.Leader != "" || p.Durable || len(p.LastKnown) == 0 || len(p.ISR)+len(p.ELR) > 0 {
			return false
		}
		w, known := t.leaderless[p.ID]
		if !known || w.leaderEpoch != p.LeaderEpoch {
			w = wait{leaderEpoch: p.LeaderEpoch, since: now}
		}
		waiting[p.ID] = w
		if now-w.since < LastKnownNanos && !mutant("metadata-last-known-at-once") {
			return false
		}
		if decision, _ := p.ElectOverdue(s.unfenced); decision.Leader != "" {
			due = append(due, &clusterv1.PartitionAt{Partition: p.ID[:], PartitionEpoch: p.PartitionEpoch})
		}
		return false
	})
	t.leaderless = waiting
	if due == nil {
		return nil
	}
	return &clusterv1.ElectLastKnown{Partitions: due}
}
