package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completionTime bounds what a shell waits for the names of streams.
const completionTime = time.Second

// addCompletion tells shells what may stand where: the words of choices, and, at the place of a stream, the names of the
// streams that there are.
func addCompletion(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if words := choicesOf(flag); words != nil {
			// It fails only for a flag that there is not.
			_ = cmd.RegisterFlagCompletionFunc(flag.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		}
	})
	for _, sub := range cmd.Commands() {
		addCompletion(sub)
	}
}

func choicesOf(flag *pflag.Flag) []string {
	switch value := flag.Value.(type) {
	case *choiceFlag:
		return value.words
	case *outputFlag:
		return value.words
	case *fromFlag:
		return []string{"new", "earliest", "latest", "offset=", "time=", "ago=", "last=", "cursor="}
	case *toFlag:
		return []string{"latest", "offset=", "time="}
	}
	return nil
}

// completesStreams makes shells complete the argument that is to be the name of a stream with the names that there are.
func (f *addressFlag) completesStreams(cmd *cobra.Command) {
	words := strings.Fields(cmd.Use)
	place := max(slices.Index(words, "STREAM"), slices.Index(words, "NAME")) - 1
	if place < 0 || cmd.Name() == "create" {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) != place {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		c, err := f.connect(ctx, cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer closeQuietly(c)
		var names []string
		for info, err := range c.Streams(ctx, "") {
			if err != nil {
				break
			}
			if strings.HasPrefix(info.Config.Name, begun) {
				names = append(names, info.Config.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
