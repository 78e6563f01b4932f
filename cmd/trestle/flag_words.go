package main

import (
	"errors"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/trestlehq/trestle/client"
)

// apiWord is a word that may be the name of a field of the API: those of several parts only, others are plain English.
var apiWord = regexp.MustCompile(`[a-z]+(_[a-z]+)+`)

// flagOfField names the flags of fields that are not spelled alike.
var flagOfField = map[string]string{"max_message_bytes": "max-message", "key_hash": "hash", "queue_group": "queue"}

// inFlagWords says what a server or the client says of the settings of a stream with the names of the flags that set them.
func inFlagWords(flags *pflag.FlagSet, err error) error {
	var answer *client.Error
	if err == nil || !errors.As(err, &answer) {
		return err
	}
	replaced := func(word string) string {
		name, ok := flagOfField[word]
		if !ok {
			name = strings.ReplaceAll(word, "_", "-")
		}
		if flags.Lookup(name) == nil {
			return word
		}
		return "--" + name
	}
	message := err.Error()
	if field, isField := answer.Names["field"]; isField && flags.Lookup(field) != nil { // a single word, which begins what is said
		message = regexp.MustCompile(`\b`+regexp.QuoteMeta(field)+` = `).ReplaceAllLiteralString(message, "--"+field+" = ")
	}
	return &flagWordsError{message: apiWord.ReplaceAllStringFunc(message, replaced), err: err}
}

// flagWordsError is an error in other words.
type flagWordsError struct {
	message string
	err     error
}

func (e *flagWordsError) Error() string { return e.message }

// Unwrap gives the error in its own words.
func (e *flagWordsError) Unwrap() error { return e.err }
