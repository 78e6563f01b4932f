package node

import (
	"errors"
	"fmt"
)

// The answers that carry no result. All but [ErrOutcomeUnknown] are a definite no: the command is in no log and will
// never be applied, so that its proposer may propose it again, here or elsewhere.
var (
	// ErrNotLeader: another node leads, or none. A [NotLeaderError] says which.
	ErrNotLeader = errors.New("this broker does not lead the metadata")
	// ErrNotEnqueued: the leader did not take the command in time; it is overloaded, or the context was done before.
	ErrNotEnqueued = errors.New("the command was not taken by the metadata leader")
	// ErrTooLarge: the command exceeds [MaxCommandBytes].
	ErrTooLarge = errors.New("the command is too large")
	// ErrStopped: the node is shut down, or has failed (see [Node.Fatal]).
	ErrStopped = errors.New("the metadata node is stopped")
	// ErrRefused: raft refuses a change of the membership, for example the removal of the last voter.
	ErrRefused = errors.New("the change of the membership is refused")

	// ErrOutcomeUnknown: the command may be applied, now, later or never. Leadership was lost, the context was done or
	// the node stopped while it waited to be committed.
	ErrOutcomeUnknown = errors.New("the outcome of the command is unknown")

	// ErrDamaged: what lies in the raft folder is not what was written. A [DamageError] says where, and what to do.
	ErrDamaged = errors.New("raft state is damaged")
)

// NotLeaderError is [ErrNotLeader] with the leader that this node knows of.
type NotLeaderError struct {
	// ID is the raft id of the leader, "" if none is known.
	ID string
	// Address is the leader's peer address, "" if it is not known.
	Address string
}

func (e *NotLeaderError) Error() string {
	if e.ID == "" {
		return ErrNotLeader.Error() + ", and no leader is known: try again when one is elected"
	}
	return fmt.Sprintf("%v: ask %s at %q", ErrNotLeader, e.ID, e.Address)
}

// Is makes errors.Is(err, ErrNotLeader) hold.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// DamageError is [ErrDamaged] with the place. A node that meets damage stops instead of guessing: what it has promised
// to other brokers (its vote, its acknowledged entries) can no longer be told from its disk.
type DamageError struct {
	// Folder is the raft folder, File the file in it that is damaged.
	Folder, File string
	// Index is the raft index of the damaged entry or snapshot, 0 if it is none or not known.
	Index uint64
	// Reason says what is wrong with it.
	Reason string
}

func (e *DamageError) Error() string {
	at := ""
	if e.Index != 0 {
		at = fmt.Sprintf(", index %d", e.Index)
	}
	return fmt.Sprintf("%v: %s%s: %s; a broker that is alone: rebuild the metadata with `trestle cluster recover`; "+
		"a member of a cluster: move the folder %s away and start the broker, it rejoins under a new raft id",
		ErrDamaged, e.File, at, e.Reason, e.Folder)
}

// Is makes errors.Is(err, ErrDamaged) hold.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }
