package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trestlehq/trestle/server"
)

func newConfigCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print or check the settings of a server",
		Long:  "Print or check the settings that a server would start with. No server is started or asked.",
		Example: `  trestle config print --config /etc/trestle.yaml
  trestle config validate --config /etc/trestle.yaml`,
		Args: commandOnly,
		RunE: commandLacking,
	}
	cmd.AddCommand(newConfigPrintCommand(inv), newConfigValidateCommand(inv))
	return cmd
}

func newConfigPrintCommand(inv *invocation) *cobra.Command {
	cfg, out := server.DefaultConfig(), newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "print [flags]",
		Short: "Print all settings and where each comes from",
		Long: `Print all settings that trestle server would start with, given the same flags, environment
and file, and where each comes from. The text is YAML, and a file that --config takes, but for
passwords in URLs, which are not shown.`,
		Example: `  trestle config print
  trestle config print --config /etc/trestle.yaml --listen 127.0.0.1:9000
  trestle config print -o json`,
		Args: noArguments,
	}
	addServerFlags(cmd.Flags(), &cfg)
	out.addTo(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		from, err := settleServer(inv, cmd, &cfg)
		if err != nil {
			return err
		}
		cfg.NATSURLs = redacted(cfg.NATSURLs)
		if out.is(formatJSON) {
			return inv.print(settingsJSON(cmd.Flags(), from))
		}
		return inv.print(settingsYAML(cmd.Flags(), from))
	}
	return cmd
}

func newConfigValidateCommand(inv *invocation) *cobra.Command {
	cfg := server.DefaultConfig()
	cmd := &cobra.Command{
		Use:   "validate [flags]",
		Short: "Check the settings of a server",
		Long: `Check the settings that trestle server would start with, given the same flags, environment
and file: unknown keys, values that cannot be, files that cannot be read, and what excludes
each other. Exit code 0 when they are fine, 2 when not.`,
		Example: `  trestle config validate --config /etc/trestle.yaml`,
		Args:    noArguments,
	}
	addServerFlags(cmd.Flags(), &cfg)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := settleServer(inv, cmd, &cfg); err != nil {
			return err
		}
		return inv.print("the settings are fine\n")
	}
	return cmd
}

// settingFlags lists the settings that a file may have, in the order of the flags.
func settingFlags(flags *pflag.FlagSet) []*pflag.Flag {
	var list []*pflag.Flag
	flags.VisitAll(func(f *pflag.Flag) {
		if isSetting(f.Name) && !f.Hidden {
			list = append(list, f)
		}
	})
	return list
}

// settingsYAML prints one key a line, groups indented; settings that are not set are comments.
func settingsYAML(flags *pflag.FlagSet, from origins) string {
	var text strings.Builder
	var open []string // the groups that the last line stands in
	for _, f := range grouped(settingFlags(flags)) {
		path := strings.Split(keyName(f.Name), ".")
		groups, key := path[:len(path)-1], path[len(path)-1]
		for i, group := range groups {
			if i >= len(open) || open[i] != group {
				fmt.Fprintf(&text, "%s%s:\n", strings.Repeat("  ", i), group)
				open = nil
			}
		}
		open = groups
		value, unset := settingYAML(f)
		unset = unset || f.Name == "nats-listen" && flags.Changed("nats")
		mark := ""
		if unset {
			mark = "# "
		}
		line := strings.Repeat("  ", len(groups)) + mark + key + ": " + value
		fmt.Fprintf(&text, "%-40s # %s\n", line, from[f.Name])
	}
	return text.String()
}

// grouped puts settings of one group beside each other, groups last, so that each group is written once.
func grouped(list []*pflag.Flag) []*pflag.Flag {
	var sorted []*pflag.Flag
	for _, prefix := range []string{"", "capture.", "tls.", "nats."} {
		for _, f := range list {
			key := keyName(f.Name)
			if prefix == "" && !strings.Contains(key, ".") || prefix != "" && strings.HasPrefix(key, prefix) {
				sorted = append(sorted, f)
			}
		}
	}
	return sorted
}

// settingYAML is the value of a setting. Text in JSON's quotes is YAML as well.
func settingYAML(f *pflag.Flag) (value string, unset bool) {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		quoted := make([]string, 0, len(list.GetSlice()))
		for _, one := range list.GetSlice() {
			quoted = append(quoted, strconv.Quote(one))
		}
		return "[" + strings.Join(quoted, ", ") + "]", len(quoted) == 0
	}
	if f.Value.Type() == "bool" {
		return f.Value.String(), false
	}
	return string(appendJSONString(nil, f.Value.String())), f.Value.String() == ""
}

// settingsJSON prints one object, keys as in a file.
func settingsJSON(flags *pflag.FlagSet, from origins) string {
	line := []byte("{")
	for i, f := range settingFlags(flags) {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(appendJSONString(line, keyName(f.Name)), `:{"value":`...)
		value, _ := settingYAML(f)
		line = append(append(line, value...), `,"from":`...)
		line = append(appendJSONString(line, from[f.Name]), '}')
	}
	return string(append(line, "}\n"...))
}
