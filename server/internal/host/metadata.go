package host

import (
	"context"
	"errors"

	"github.com/trestlehq/trestle/metadata"
	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// Metadata is the state of the cluster, and the way to change it.
type Metadata interface {
	// State is the newest state that this broker has applied.
	State() *metadata.State
	// Changed returns a channel that is closed when there is a newer state than those that were seen before the call.
	Changed() <-chan struct{}
	// Propose has the command applied and returns once this broker has applied it. The error is a *metadata.Refusal, or
	// one that is ErrNoMetadataLeader, ErrMetadataStopped (both a definite no) or ErrOutcomeUnknown.
	Propose(ctx context.Context, cmd *clusterv1.Command) (*clusterv1.Answer, error)
}

// What else may become of a command.
var (
	ErrNoMetadataLeader = errors.New("the metadata has no leader for now; try again")
	ErrMetadataStopped  = errors.New("the metadata of this broker has stopped")
	ErrOutcomeUnknown   = errors.New("it is not known whether the change was made; look, then try again")
)

// refusedFor says whether the command was refused for that reason.
func refusedFor(err error, reason metadata.Reason) bool {
	var refusal *metadata.Refusal
	return errors.As(err, &refusal) && refusal.Reason == reason
}
