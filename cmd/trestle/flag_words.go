package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/trestlehq/trestle/client"
)

// apiWord is a word that may be the name of a field of the API: those of several parts only, others are plain English.
var apiWord = regexp.MustCompile(`[a-z]+(_[a-z]+)+`)

// flagOfField names the flags of fields that are not spelled alike.
var flagOfField = map[string]string{"max_message_bytes": "max-message", "key_hash": "hash", "queue_group": "queue", "subjects": "subject"}

// unbuiltSetting is how a server refuses what its version cannot do.
var unbuiltSetting = regexp.MustCompile(`^([a-z_]+) = (\S+) is not built yet`)

// inFlagWords says what a server or the client says of the settings of a stream with the names of the flags that set them.
func inFlagWords(flags *pflag.FlagSet, err error) error {
	var answer *client.Error
	if err == nil || !errors.As(err, &answer) {
		return err
	}
	if differs, ok := errors.AsType[*client.ConfigDiffError](err); ok {
		return &flagWordsError{message: differencesText(flags, differs), err: err}
	}
	replaced := func(word string) string { return flagOf(flags, word) }
	message := err.Error()
	if m := unbuiltSetting.FindStringSubmatch(message); m != nil {
		message = flagOf(flags, m[1]) + " " + flagValue(m[1], m[2]) + strings.TrimPrefix(message, m[1]+" = "+m[2])
	} else if field, isField := answer.Names["field"]; isField && flags.Lookup(field) != nil { // a single word, which begins what is said
		message = regexp.MustCompile(`\b`+regexp.QuoteMeta(field)+` = `).ReplaceAllLiteralString(message, "--"+field+" = ")
	}
	return &flagWordsError{message: apiWord.ReplaceAllStringFunc(message, replaced), err: err}
}

// flagOf is the flag that sets a field, or the field where there is none.
func flagOf(flags *pflag.FlagSet, field string) string {
	name, ok := flagOfField[field]
	if !ok {
		name = strings.ReplaceAll(field, "_", "-")
	}
	if flags.Lookup(name) == nil {
		return field
	}
	return "--" + name
}

// differencesText says how a stream differs from what the flags ask for.
func differencesText(flags *pflag.FlagSet, differs *client.ConfigDiffError) string {
	differences := make([]string, 0, len(differs.Differences))
	for _, d := range differs.Differences {
		differences = append(differences, fmt.Sprintf("%s is %s, not %s", flagOf(flags, d.Field), flagValue(d.Field, d.Have), flagValue(d.Field, d.Want)))
	}
	return fmt.Sprintf("stream %q exists and differs; %s; ask for what it has, change it with trestle stream edit, or choose another name",
		differs.Stream, strings.Join(differences, "; "))
}

// settingsRefused is inFlagWords with what the server takes at most, where a message was to be larger than that.
func settingsRefused(ctx context.Context, c *client.Client, flags *pflag.FlagSet, err error) error {
	largest, isSet := flags.Lookup("max-message").Value.(*sizeFlag)
	if err == nil || !isSet || !strings.Contains(err.Error(), "max_message_bytes = ") {
		return inFlagWords(flags, err)
	}
	info, cause := c.Server(ctx)
	if cause != nil || info.Limits.MessageBytes <= 0 || int64(*largest) <= info.Limits.MessageBytes {
		return inFlagWords(flags, err)
	}
	return &flagWordsError{err: err, message: fmt.Sprintf("--max-message %s is more than this version takes; give %s or less",
		formatSize(int64(*largest)), formatSize(info.Limits.MessageBytes))}
}

// flagWordsError is an error in other words.
type flagWordsError struct {
	message string
	err     error
}

func (e *flagWordsError) Error() string { return e.message }

// Unwrap gives the error in its own words.
func (e *flagWordsError) Unwrap() error { return e.err }
