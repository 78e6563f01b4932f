package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Print the version",
		Long:  "Print the version of this program, and of the Go that built it.",
		Example: `  trestle version
  trestle version -o json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if out.is(formatJSON) {
				line := []byte(`{"version":`)
				line = appendJSONString(line, programVersion())
				line = appendJSONString(append(line, `,"go":`...), runtime.Version())
				line = appendJSONString(append(line, `,"platform":`...), runtime.GOOS+"/"+runtime.GOARCH)
				return inv.print(string(append(line, "}\n"...)))
			}
			return inv.print(fmt.Sprintf("trestle %s (%s, %s/%s)\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH))
		},
	}
	out.addTo(cmd)
	return cmd
}

// programVersion is what the linker was told, else what the Go tool recorded about the module.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "unreleased"
}
