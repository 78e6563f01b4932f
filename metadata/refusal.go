package metadata

import "fmt"

// Reason is a stable upper-case word that programs match.
type Reason string

// Reasons of refusals, of commands and of items in their lists.
const (
	ReasonMalformed         Reason = "MALFORMED_COMMAND"
	ReasonReplayed          Reason = "ALREADY_APPLIED"
	ReasonFeatureLevel      Reason = "FEATURE_LEVEL"
	ReasonInvalid           Reason = "INVALID_ARGUMENT"
	ReasonNotInitialized    Reason = "NOT_INITIALIZED"
	ReasonInitialized       Reason = "ALREADY_INITIALIZED"
	ReasonBrokerNotFound    Reason = "BROKER_NOT_FOUND"
	ReasonStaleBroker       Reason = "STALE_BROKER_EPOCH"
	ReasonStaleState        Reason = "STALE_STATE"
	ReasonBrokerAlive       Reason = "BROKER_ALIVE"
	ReasonBrokerNotLive     Reason = "BROKER_NOT_LIVE"
	ReasonBrokerInUse       Reason = "BROKER_IN_USE"
	ReasonStorageInUse      Reason = "STORAGE_IN_USE"
	ReasonPartitionNotFound Reason = "PARTITION_NOT_FOUND"
	ReasonStalePartition    Reason = "STALE_PARTITION"
	ReasonNotReplica        Reason = "NOT_A_REPLICA"
	ReasonNotInSync         Reason = "NOT_IN_SYNC"
	ReasonNotLeader         Reason = "NOT_LEADER"
	ReasonHasLeader         Reason = "HAS_LEADER"
	ReasonNoCandidate       Reason = "NO_CANDIDATE"
	ReasonLossNotAccepted   Reason = "LOSS_NOT_ACCEPTED"
	ReasonMinISR            Reason = "MIN_ISR"
	ReasonNoReassignment    Reason = "NO_REASSIGNMENT"
	ReasonLimit             Reason = "LIMIT_EXCEEDED"
	ReasonUnimplemented     Reason = "UNIMPLEMENTED"
)

// Refusal says why a command changed nothing. It is an error; errors.As finds it.
type Refusal struct { //nolint:errname // a result in the first place, and an error where one is asked for
	Reason Reason
	// Message names the thing, the reason and the remedy.
	Message string
	// Names are those of the things concerned, such as "broker".
	Names map[string]string
}

func (r *Refusal) Error() string { return r.Message }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func (r *Refusal) with(name, value string) *Refusal {
	if r.Names == nil {
		r.Names = map[string]string{}
	}
	r.Names[name] = value
	return r
}
