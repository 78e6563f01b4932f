package replication

import "slices"

// View is what the metadata said of the partition at some moment.
type View struct {
	Leader         string // broker; "" if there is none
	LeaderEpoch    uint64
	PartitionEpoch uint64
	// UncleanEpoch is the last leader epoch that began by an unclean election; 0: none.
	UncleanEpoch uint64
	MinISR       int
	// Synced says that a replica is safe up to its durable position (`sync: ack`); else up to its end.
	Synced  bool
	Members []Member // in replica order
}

// Member is a replica of the partition.
type Member struct {
	Broker      string
	BrokerEpoch uint64
	Live        bool // registered, not fenced, not stopping
	InSync      bool // in the committed ISR
}

// member finds a replica; nil if the broker holds none.
func (v *View) member(broker string) *Member {
	for i := range v.Members {
		if v.Members[i].Broker == broker {
			return &v.Members[i]
		}
	}
	return nil
}

// inSync says whether a broker is in the committed ISR.
func (v *View) inSync(broker string) bool {
	m := v.member(broker)
	return m != nil && m.InSync
}

// countInSync is the size of the committed ISR.
func (v *View) countInSync() int {
	n := 0
	for _, m := range v.Members {
		if m.InSync {
			n++
		}
	}
	return n
}

// enough says whether the committed ISR has as many members as a commit needs.
func (v *View) enough() bool { return v.countInSync() >= v.MinISR }

// olderThan says whether v was true before w. Registrations need not raise the partition epoch; broker epochs tell then.
func (v *View) olderThan(w *View) bool {
	if mutant("replication-older-view-believed") {
		return false
	}
	if v.PartitionEpoch != w.PartitionEpoch {
		return v.PartitionEpoch < w.PartitionEpoch
	}
	for _, m := range v.Members {
		if known := w.member(m.Broker); known != nil && m.BrokerEpoch < known.BrokerEpoch {
			return true
		}
	}
	return false
}

// copied is v with members of its own.
func (v View) copied() View {
	v.Members = slices.Clone(v.Members)
	return v
}
