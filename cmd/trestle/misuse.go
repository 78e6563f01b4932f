package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// misuse is an error that was found without asking a server: exit code 2. The remedy is the corrected form.
type misuse struct {
	message string
	remedy  string
	names   map[string]string
}

func (m *misuse) Error() string { return m.message }

// argumentMisuse complains about the arguments of cmd and prints its form.
func argumentMisuse(cmd *cobra.Command, format string, args ...any) error {
	return &misuse{
		message: cmd.CommandPath() + ": " + fmt.Sprintf(format, args...),
		remedy:  "usage: " + usageLine(cmd),
	}
}

// usageLine is the form of cmd, followed by its first example.
func usageLine(cmd *cobra.Command) string {
	line := cmd.UseLine()
	first, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
	if first = strings.TrimSpace(first); first != "" {
		line += "\nexample: " + first
	}
	return line
}

// flagMisuse turns what the flag parser says into our words.
func flagMisuse(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, unknown)
	}
	if lacking, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		flag := lacking.GetFlag()
		kind, _ := pflag.UnquoteUsage(flag)
		return &misuse{
			message: fmt.Sprintf("%s: %s needs a value", cmd.CommandPath(), spelled(flag)),
			remedy:  fmt.Sprintf("write %s %s", spelled(flag), kind),
			names:   map[string]string{"flag": spelled(flag)},
		}
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return valueMisuse(cmd, spelled(invalid.GetFlag()), invalid.GetValue(), invalid.Unwrap())
	}
	return argumentMisuse(cmd, "%v", err)
}

// valueMisuse complains about the value of a flag or of an environment variable.
func valueMisuse(cmd *cobra.Command, setting, value string, cause error) error {
	reason, remedy := cause.Error(), ""
	if m, ok := errors.AsType[*misuse](cause); ok {
		remedy = m.remedy
	} else if strings.Contains(reason, "strconv.") {
		// The parser's own text names its functions.
		reason, remedy = "not a value that it takes", "see "+cmd.CommandPath()+" --help"
	}
	return &misuse{
		message: fmt.Sprintf("%s: %s %q: %s", cmd.CommandPath(), setting, value, reason),
		remedy:  remedy,
		names:   map[string]string{"flag": setting, "value": value},
	}
}

func unknownFlag(cmd *cobra.Command, unknown *pflag.NotExistError) error {
	name := unknown.GetSpecifiedName()
	given := "--" + name
	if unknown.GetSpecifiedShortnames() != "" {
		given = "-" + name
	}
	m := &misuse{
		message: fmt.Sprintf("%s has no flag %s", cmd.CommandPath(), given),
		remedy:  "usage: " + usageLine(cmd),
		names:   map[string]string{"flag": given},
	}
	if unknown.GetSpecifiedShortnames() != "" && strings.Contains(cmd.Use, " ") {
		m.remedy = "what begins with a dash and is no flag goes behind --\n" + m.remedy
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if match, ok := nearest(name, known); ok {
		m.remedy = fmt.Sprintf("did you mean: %s %s", cmd.CommandPath(), spelled(cmd.Flags().Lookup(match)))
	}
	return m
}

// spelled is a flag as it is usually written: our only short flag is -o.
func spelled(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

// nearest returns the word that was probably meant: one that begins as given does, or is at most two letters away, and no
// more than half of what was given.
func nearest(given string, known []string) (string, bool) {
	best, bestDistance := "", 3
	for _, word := range known {
		distance := editDistance(given, word)
		if len(given) >= 3 && strings.HasPrefix(word, given) {
			distance = 1
		}
		if distance < bestDistance && distance < len(word) && 2*distance <= len(given) {
			best, bestDistance = word, distance
		}
	}
	return best, best != ""
}

// editDistance counts the letters to insert, delete or replace to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
