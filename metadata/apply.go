package metadata

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	clusterv1 "github.com/trestlehq/trestle/proto/cluster/v1"
)

// ErrLaterVersion says that a command holds something that this version does not know.
var ErrLaterVersion = errors.New("the command holds what this version does not know")

// change is the next state while a command is applied: a private copy whose fields are replaced freely. When the command
// is refused it is dropped.
type change struct {
	*State
	index uint64 // of the command
}

// Apply applies the command at that raft index and returns the next state and what the proposer is told. Indexes grow; one
// that does not is refused and leaves the state as it is. Apply is total: bytes that are no command, or one whose
// preconditions do not hold, are refused, and a refused command changes nothing but the index. A command of a later
// version is Unknown and changes nothing at all.
func (s *State) Apply(index uint64, command []byte) (*State, Result) {
	if index <= s.index {
		return s, Result{Index: index, Refusal: refuse(ReasonReplayed, "the state has applied index %d already; it is at %d", index, s.index)}
	}
	next := *s
	next.index = index
	var cmd clusterv1.Command
	if err := proto.Unmarshal(command, &cmd); err != nil {
		return &next, Result{Index: index, Refusal: refuse(ReasonMalformed, "the command does not parse; propose what EncodeCommand made")}
	}
	if later(cmd.ProtoReflect()) {
		return s, Result{Index: index, Unknown: true}
	}
	row, ok := rowOf(&cmd)
	if !ok {
		return &next, Result{Index: index, Refusal: refuse(ReasonMalformed, "the command is empty; propose what EncodeCommand made")}
	}
	if refusal := s.admits(row); refusal != nil {
		return &next, Result{Index: index, Refusal: refusal}
	}
	draft := next
	answer, refusal := row.apply(&change{State: &draft, index: index}, &cmd)
	if refusal != nil {
		return &next, Result{Index: index, Refusal: refusal}
	}
	if answer == nil {
		answer = &clusterv1.Answer{}
	}
	return &draft, Result{Index: index, Answer: answer}
}

// admits says whether the cluster is ready for a command of that kind.
func (s *State) admits(row Row) *Refusal {
	if s.cluster.FeatureLevel == 0 && row.Number != initNumber {
		return refuse(ReasonNotInitialized, "the cluster has not been made yet; wait until its first broker has proposed InitCluster")
	}
	if row.Level > max(s.cluster.FeatureLevel, firstFeatureLevel) {
		return refuse(ReasonFeatureLevel, "%s needs feature level %d and the cluster is at %d; upgrade every broker, then raise the level",
			row.Name, row.Level, s.cluster.FeatureLevel)
	}
	return nil
}

// EncodeCommand gives the bytes to propose. It refuses with ErrLaterVersion what Apply would take for a command of a later
// version, such as a field that a newer client sent along: proposed, it would stop every broker.
func EncodeCommand(cmd *clusterv1.Command) ([]byte, error) {
	row, ok := rowOf(cmd)
	if !ok {
		return nil, errors.New("an empty command cannot be proposed; set one")
	}
	if later(cmd.ProtoReflect()) {
		return nil, fmt.Errorf("%s: %w: an unknown field or enum value; leave it out", row.Name, ErrLaterVersion)
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(cmd)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", row.Name, err)
	}
	return encoded, nil
}

// later says whether the message, or one in it, has a field or an enum value that this version does not know.
func later(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	var found bool
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			value.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				found = laterValue(field.MapValue(), v)
				return !found
			})
		case field.IsList():
			for i := 0; i < value.List().Len() && !found; i++ {
				found = laterValue(field, value.List().Get(i))
			}
		default:
			found = laterValue(field, value)
		}
		return !found
	})
	return found
}

func laterValue(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
	switch {
	case field.Message() != nil:
		return later(value.Message())
	case field.Enum() != nil:
		return field.Enum().Values().ByNumber(value.Enum()) == nil
	default:
		return false
	}
}
