package rpc

import (
	"google.golang.org/grpc/codes"

	"github.com/trestlehq/trestle/metadata"
)

// codeOfReason is the code of a refused command; its reason is told as it is.
var codeOfReason = map[metadata.Reason]codes.Code{
	metadata.ReasonInvalid:       codes.InvalidArgument,
	metadata.ReasonUnimplemented: codes.Unimplemented,

	metadata.ReasonStreamNotFound:    codes.NotFound,
	metadata.ReasonPartitionNotFound: codes.NotFound,
	metadata.ReasonGroupNotFound:     codes.NotFound,
	metadata.ReasonBrokerNotFound:    codes.NotFound,
	metadata.ReasonStreamExists:      codes.AlreadyExists,
	metadata.ReasonGroupExists:       codes.AlreadyExists,
	metadata.ReasonInternalStream:    codes.PermissionDenied,
	metadata.ReasonLimit:             codes.ResourceExhausted,

	// Read again, then try again.
	metadata.ReasonStaleRevision:  codes.Aborted,
	metadata.ReasonStalePartition: codes.Aborted,
	metadata.ReasonStaleBroker:    codes.Aborted,
	metadata.ReasonStaleState:     codes.Aborted,
	metadata.ReasonUUIDInUse:      codes.Aborted,

	// Another state of the cluster is needed.
	metadata.ReasonTooFewBrokers:   codes.FailedPrecondition,
	metadata.ReasonFeatureLevel:    codes.FailedPrecondition,
	metadata.ReasonInitialized:     codes.FailedPrecondition,
	metadata.ReasonBrokerAlive:     codes.FailedPrecondition,
	metadata.ReasonBrokerNotLive:   codes.FailedPrecondition,
	metadata.ReasonBrokerInUse:     codes.FailedPrecondition,
	metadata.ReasonStorageInUse:    codes.FailedPrecondition,
	metadata.ReasonNotReplica:      codes.FailedPrecondition,
	metadata.ReasonNotInSync:       codes.FailedPrecondition,
	metadata.ReasonNotLeader:       codes.FailedPrecondition,
	metadata.ReasonHasLeader:       codes.FailedPrecondition,
	metadata.ReasonNoCandidate:     codes.FailedPrecondition,
	metadata.ReasonLossNotAccepted: codes.FailedPrecondition,
	metadata.ReasonMinISR:          codes.FailedPrecondition,
	metadata.ReasonNoReassignment:  codes.FailedPrecondition,

	metadata.ReasonNotInitialized: codes.Unavailable,
	metadata.ReasonNoLeader:       codes.Unavailable,

	metadata.ReasonMalformed: codes.Internal,
	metadata.ReasonReplayed:  codes.Internal,
}

// codeOfRefusal is the code of a reason, also of one that a broker of a later version gives.
func codeOfRefusal(reason metadata.Reason) codes.Code {
	if code, ok := codeOfReason[reason]; ok {
		return code
	}
	return codes.FailedPrecondition
}
