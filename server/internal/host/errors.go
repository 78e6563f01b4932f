package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrStreamNotFound means that there is no stream of that name.
var ErrStreamNotFound = errors.New("stream not found")

// StreamNotFoundError names the stream that there is not.
type StreamNotFoundError struct{ Stream string }

func (e *StreamNotFoundError) Error() string {
	return fmt.Sprintf("there is no stream %q; create it, or list those that there are", e.Stream)
}

// Is makes it an ErrStreamNotFound.
func (e *StreamNotFoundError) Is(target error) bool { return target == ErrStreamNotFound }

// PartitionNotFoundError names the partition that the stream has not.
type PartitionNotFoundError struct {
	Stream     string
	Partition  int32
	Partitions int
}

func (e *PartitionNotFoundError) Error() string {
	return fmt.Sprintf("stream %q has no partition %d; it has %d, numbered from 0", e.Stream, e.Partition, e.Partitions)
}

// StreamExistsError says that the name is taken. Differences maps each field of the configuration that differs to what
// it is and what was asked for; it is empty when there is none.
type StreamExistsError struct {
	Stream      string
	Differences map[string]string
}

func (e *StreamExistsError) Error() string {
	if len(e.Differences) == 0 {
		return fmt.Sprintf("stream %q exists", e.Stream)
	}
	var list []string
	for field, difference := range e.Differences {
		list = append(list, field+": "+difference)
	}
	slices.Sort(list)
	return fmt.Sprintf("stream %q exists with another configuration (%s); choose another name or the same configuration",
		e.Stream, strings.Join(list, "; "))
}

// InvalidError says which field of a request cannot be as it is, and what would be right.
type InvalidError struct {
	Field   string
	Problem string
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Problem }

// UnimplementedError names what this version cannot do yet.
type UnimplementedError struct{ Feature string }

func (e *UnimplementedError) Error() string {
	return e.Feature + " is not built yet in this version; leave it out"
}
