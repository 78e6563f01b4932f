package main

import (
	"github.com/spf13/cobra"
)

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return argumentMisuse(cmd, "takes no argument, got %q", args[0])
	}
	return nil
}

// oneArgument wants exactly one argument, which what names.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 || args[0] == "":
			return argumentMisuse(cmd, "needs %s", what)
		case len(args) > 1:
			return argumentMisuse(cmd, "takes one argument, %s, got %q as well", what, args[1])
		}
		return nil
	}
}

func atMostOneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return argumentMisuse(cmd, "takes one argument, %s, got %q as well", what, args[1])
		}
		return nil
	}
}

// twoArguments wants exactly two arguments, which what names.
func twoArguments(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < 2 || args[0] == "" || args[1] == "":
			return argumentMisuse(cmd, "needs %s", what)
		case len(args) > 2:
			return argumentMisuse(cmd, "takes two arguments, %s, got %q as well", what, args[2])
		}
		return nil
	}
}
