package metadata

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// Result is what the proposer of a command learns.
type Result struct {
	// Index is the raft index of the command.
	Index uint64
	// Refusal says why the command changed nothing; nil: it was accepted, or is unknown.
	Refusal *Refusal
	// Unknown: the command is of a later version. It was not applied, and whoever applies must stop and say so: going on
	// would part this broker's state from the others' (protocol.md 3.10).
	Unknown bool
	// Answer of an accepted command; its lists have one entry per item of the command. Nil: refused or unknown.
	Answer *clusterv1.Answer
}

// Err returns the refusal as an error, or nil.
func (r Result) Err() error {
	if r.Refusal == nil {
		return nil
	}
	return r.Refusal
}

// EncodeResult gives the bytes that DecodeResult reads.
func EncodeResult(r Result) ([]byte, error) {
	m := &clusterv1.Result{Index: r.Index}
	switch {
	case r.Unknown:
		m.Outcome = &clusterv1.Result_Unknown{Unknown: &clusterv1.UnknownCommand{}}
	case r.Refusal != nil:
		m.Outcome = &clusterv1.Result_Refusal{Refusal: &clusterv1.Refusal{
			Reason: string(r.Refusal.Reason), Message: r.Refusal.Message, Names: r.Refusal.Names,
		}}
	default:
		answer := r.Answer
		if answer == nil {
			answer = &clusterv1.Answer{}
		}
		m.Outcome = &clusterv1.Result_Answer{Answer: answer}
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding the result of command %d: %w", r.Index, err)
	}
	return encoded, nil
}

// DecodeResult reads what EncodeResult wrote, on this broker or another.
func DecodeResult(encoded []byte) (Result, error) {
	var m clusterv1.Result
	if err := proto.Unmarshal(encoded, &m); err != nil {
		return Result{}, fmt.Errorf("the result of a command does not parse: %w", err)
	}
	r := Result{Index: m.GetIndex()}
	switch outcome := m.GetOutcome().(type) {
	case *clusterv1.Result_Unknown:
		r.Unknown = true
	case *clusterv1.Result_Refusal:
		r.Refusal = &Refusal{
			Reason: Reason(outcome.Refusal.GetReason()), Message: outcome.Refusal.GetMessage(), Names: outcome.Refusal.GetNames(),
		}
	case *clusterv1.Result_Answer:
		r.Answer = outcome.Answer
	default:
		return Result{}, fmt.Errorf("the result of command %d is of a later version; upgrade this broker", r.Index)
	}
	return r, nil
}
