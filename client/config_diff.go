package client

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ConfigDiffError means that a stream of the name exists and is configured in another way. It is also ErrStreamExists.
type ConfigDiffError struct {
	Stream string
	// Differences in the order of fields' names.
	Differences []ConfigDifference

	answer *Error
}

// ConfigDifference is a setting that the existing stream has in another way than was wanted.
type ConfigDifference struct {
	Field      string // as the API names it: retain_age
	Have, Want string
}

// Error lists the differences.
func (e *ConfigDiffError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stream %q exists and differs:", e.Stream)
	for i, d := range e.Differences {
		if i > 0 {
			b.WriteByte(';')
		}
		fmt.Fprintf(&b, " %s is %s, not %s", d.Field, d.Have, d.Want)
	}
	b.WriteString("; ask for what it has, change it, or choose another name")
	return b.String()
}

// Unwrap gives what the server answered.
func (e *ConfigDiffError) Unwrap() error { return e.answer }

// configDiff makes a *ConfigDiffError of the answer that a stream exists and differs, whose names are the fields that
// do with "have X, want Y". Any other error stays as it is.
func configDiff(stream string, err error) error {
	var answer *Error
	if !errors.Is(err, ErrStreamExists) || !errors.As(err, &answer) {
		return err
	}
	diff := &ConfigDiffError{Stream: stream, answer: answer}
	for _, field := range slices.Sorted(maps.Keys(answer.Names)) {
		both, ok := strings.CutPrefix(answer.Names[field], "have ")
		have, want, ok2 := strings.Cut(both, ", want ")
		if ok && ok2 {
			diff.Differences = append(diff.Differences, ConfigDifference{Field: field, Have: have, Want: want})
		}
	}
	if len(diff.Differences) == 0 {
		return err
	}
	return diff
}
