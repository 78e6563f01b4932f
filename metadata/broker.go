package metadata

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/trestlehq/trestle/metadata/names"
)

// Broker is a broker that has registered.
type Broker struct {
	Name string
	// Incarnation is new at every start of the process.
	Incarnation uuid.UUID
	// Storage names the data folder; another one has none of the copies of the one before.
	Storage uuid.UUID
	RaftID  string
	// Epoch is the raft index of the registration. What names another epoch speaks of a life that is over.
	Epoch uint64
	// Fenced brokers have no role: their session ended. Registering again ends this.
	Fenced bool
	// Stopping brokers get no new role: they are about to stop.
	Stopping bool
	// ClientAddress and PeerAddress are HOST:PORT.
	ClientAddress, PeerAddress string
	// MinFeatureLevel and MaxFeatureLevel are the levels that the program can work at.
	MinFeatureLevel, MaxFeatureLevel uint32
	// PlacedAt is the raft index of the last command that placed a partition on the broker; 0: none. Who looks through its data
	// folder with an older state misses a copy that it must hold.
	PlacedAt uint64
}

// Live says whether the broker may be given a role.
func (b Broker) Live() bool { return !b.Fenced && !b.Stopping }

// checkBrokerName allows what names of streams may be, so that a name is safe in logs, keys and addresses.
func checkBrokerName(name string) *Refusal {
	if err := names.Stream(name); err != nil {
		return refuse(ReasonInvalid, "broker name: %v", err).with("field", "name")
	}
	return nil
}

// named returns the broker, or a refusal when there is none or it is in another life. Epoch 0 means whatever it is.
func (s *State) named(name string, epoch uint64) (Broker, *Refusal) {
	b, ok := s.Broker(name)
	if !ok {
		return Broker{}, refuse(ReasonBrokerNotFound, "there is no broker %q; `trestle cluster status` lists them", name).with("broker", name)
	}
	if epoch != 0 && epoch != b.Epoch && !mutant("metadata-broker-epoch-unchecked") {
		return Broker{}, refuse(ReasonStaleBroker, "broker %q has registered again since (epoch %d, not %d); read the state and decide anew",
			name, b.Epoch, epoch).with("broker", name).with("epoch", fmt.Sprint(b.Epoch))
	}
	return b, nil
}
