package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// errOutput marks a failure to write to standard output.
var errOutput = errors.New("cannot write to standard output")

// Formats of -o.
const (
	formatText = "text"
	formatJSON = "json"
	formatRaw  = "raw"
)

// outputFlag is -o.
type outputFlag struct {
	choiceFlag
}

// newOutputFlag makes a flag of the formats; the first is the default.
func newOutputFlag(formats ...string) *outputFlag {
	return &outputFlag{choiceFlag{word: formats[0], words: formats}}
}

func (o *outputFlag) addTo(cmd *cobra.Command) {
	cmd.Flags().VarP(o, "output", "o", "print as `FORMAT`: "+strings.Join(o.words, ", "))
}

func (o *outputFlag) is(format string) bool { return o.word == format }

// asksForJSON finds out from bare arguments whether errors are to be printed as JSON: -o may stand behind what is
// wrong with the command line.
func asksForJSON(args []string) bool {
	asked := false
	for i, arg := range args {
		if arg == "--" {
			break
		}
		value, found := "", false
		switch {
		case arg == "-o" || arg == "--output":
			if i+1 < len(args) {
				value, found = args[i+1], true
			}
		case strings.HasPrefix(arg, "--output="):
			value, found = strings.TrimPrefix(arg, "--output="), true
		case strings.HasPrefix(arg, "-o"):
			value, found = strings.TrimPrefix(arg[2:], "="), true
		}
		if found {
			asked = value == formatJSON
		}
	}
	return asked
}

// print writes text to standard output.
func (inv *invocation) print(text string) error {
	return outputError(io.WriteString(inv.stdout, text))
}

func outputError(_ int, err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
