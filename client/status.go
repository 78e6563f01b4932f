package client

import (
	"context"
	"fmt"
	"maps"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const errorDomain = "trestle"

// reasonOfCode is for a status without a reason of ours; any other code is reasonInternal.
var reasonOfCode = map[codes.Code]string{
	codes.InvalidArgument: reasonInvalidArgument,
	codes.Unimplemented:   reasonUnimplemented,
	codes.Unavailable:     reasonUnavailable,
	codes.DataLoss:        reasonCorruptData,
	// What gRPC itself refuses is a message above its limit.
	codes.ResourceExhausted: reasonTooLarge,
}

// callError makes of what gRPC returned for a call what the caller is told. What the server said of itself stands as
// it is; everything else is put behind doing, which says what was being done to what.
func callError(doing string, err error) error {
	st := status.Convert(err)
	if answer := answerIn(st); answer != nil {
		return answer
	}
	switch st.Code() {
	case codes.Canceled:
		return fmt.Errorf("%s: %w", doing, context.Canceled)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%s: %w", doing, context.DeadlineExceeded)
	case codes.Unavailable:
		return newError(reasonUnavailable, "%s: %s; %s", doing, st.Message(), remedyOf(st.Message()))
	}
	reason, ok := reasonOfCode[st.Code()]
	if !ok {
		reason = reasonInternal
	}
	return newError(reason, "%s: %s", doing, st.Message()).because(err)
}

// answerIn is the error that a trestle server put into a status, nil if none did.
func answerIn(st *status.Status) *Error {
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != errorDomain {
			continue
		}
		kind, known := kindOfReason[info.GetReason()]
		if !known {
			kind = kindOfCode(st.Code())
		}
		return &Error{
			Reason: info.GetReason(), Message: st.Message(), Names: maps.Clone(info.GetMetadata()), kind: kind,
		}
	}
	return nil
}

// kindOfCode is the kind of an error whose reason only newer servers know.
func kindOfCode(code codes.Code) error {
	reason, ok := reasonOfCode[code]
	if !ok || code == codes.ResourceExhausted { // from a server it may be any resource
		return ErrInternal
	}
	return kindOfReason[reason]
}
