package main

import (
	"errors"

	"github.com/trestlehq/trestle/metadata/names"
)

// patternsFlag collects subjects that a stream records. A comma is part of a subject, so each has a flag of its own.
type patternsFlag []string

func (f *patternsFlag) Set(text string) error {
	if err := names.Pattern(text); err != nil {
		return nameMisuse(err)
	}
	*f = append(*f, text)
	return nil
}

func (f *patternsFlag) String() string { return "" }
func (f *patternsFlag) Type() string   { return "SUBJECT" }

// patternFlag is a subject with or without wildcards that picks messages.
type patternFlag string

func (f *patternFlag) Set(text string) error {
	if err := names.Pattern(text); err != nil {
		return nameMisuse(err)
	}
	*f = patternFlag(text)
	return nil
}

func (f *patternFlag) String() string { return string(*f) }
func (f *patternFlag) Type() string   { return "PATTERN" }

// matches reports whether a subject is one that was asked for; without a pattern all are.
func (f *patternFlag) matches(subject string) bool {
	return *f == "" || names.Matches(string(*f), subject)
}

// literalFlag is the subject of one message.
type literalFlag string

func (f *literalFlag) Set(text string) error {
	if err := names.Literal(text); err != nil {
		return nameMisuse(err)
	}
	*f = literalFlag(text)
	return nil
}

func (f *literalFlag) String() string { return string(*f) }
func (f *literalFlag) Type() string   { return "SUBJECT" }

// nameMisuse splits what the rules of names say into problem and remedy.
func nameMisuse(err error) error {
	if e, ok := errors.AsType[*names.Error](err); ok {
		return &misuse{message: "the " + e.Kind + " " + e.Problem, remedy: e.Remedy, names: map[string]string{e.Kind: e.Name}}
	}
	return err
}
