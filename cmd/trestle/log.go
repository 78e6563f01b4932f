package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

func newLogCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Look into the files of a data folder, offline",
		Long: `Look into the files of a data folder, without a server. Nothing is changed, so it
is safe beside a running server; the file that it is writing may then look torn at
its end.`,
		Example: `  trestle log inspect trestle-data
  trestle log verify trestle-data`,
		Args: commandOnly,
		RunE: commandLacking,
	}
	cmd.AddCommand(newLogInspectCommand(inv), newLogVerifyCommand(inv))
	return cmd
}

func newLogInspectCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	var batches bool
	cmd := &cobra.Command{
		Use:   "inspect DIR [flags]",
		Short: "Describe the segments of logs, or their batches",
		Long: `Describe the segment files of logs: what they hold, from which offset to which,
what is wrong with them, and which partition of which stream they are of. DIR is a
data folder, the folder of a partition, or that of a log.`,
		Example: `  trestle log inspect trestle-data
  trestle log inspect trestle-data --batches
  trestle log inspect trestle-data -o json`,
		Args: oneArgument("a DIR"),
	}
	cmd.Flags().BoolVar(&batches, "batches", false, "describe each batch, too")
	out.addTo(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		p := logPrinter{inv: inv, json: out.is(formatJSON), batches: batches}
		return p.run(args[0])
	}
	return cmd
}

func newLogVerifyCommand(inv *invocation) *cobra.Command {
	out := newOutputFlag(formatText, formatJSON)
	cmd := &cobra.Command{
		Use:   "verify DIR [flags]",
		Short: "Read every byte of logs and say what is damaged",
		Long: `Read every byte of the segment files of logs, check every CRC and whether each
batch follows from the one before it, and hold indexes against them. Exit 1 if
something is damaged. The end of a log that a crash tore is not: it was acked to
nobody, and the next start removes it. In a data folder the marks tell the two
apart. DIR is a data folder, the folder of a partition, or that of a log.
Progress goes to standard error.`,
		Example: `  trestle log verify trestle-data
  trestle log verify trestle-data -o json`,
		Args: oneArgument("a DIR"),
	}
	out.addTo(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		p := logPrinter{inv: inv, json: out.is(formatJSON), verify: true}
		return p.run(args[0])
	}
	return cmd
}

// findLogs finds the folders of logs in or below dir: those that hold segments.
func findLogs(dir string) ([]string, error) {
	var logs []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Type().IsRegular() && strings.HasSuffix(path, ".seg") && !slices.Contains(logs, filepath.Dir(path)) {
			logs = append(logs, filepath.Dir(path))
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %s; name the data folder of a server", dir)
	}
	if err == nil && len(logs) == 0 {
		err = fmt.Errorf("there is no segment file in %s; name the data folder of a server", dir)
	}
	return logs, err
}

// logPrinter prints what is found in logs.
type logPrinter struct {
	inv     *invocation
	json    bool
	batches bool
	verify  bool
	marks   map[commitlog.LogName]commitlog.Mark
	owner   *logOwner // of the log at hand

	segments, batchCount, faults int
	records, bytes               int64
}

func (p *logPrinter) run(dir string) error {
	logs, err := findLogs(dir)
	if err != nil {
		return err
	}
	if p.marks, err = commitlog.ReadMarks(vfs.OS(), filepath.Join(dir, "marks")); err != nil {
		return err
	}
	for _, log := range logs {
		if err := p.log(log); err != nil {
			return err
		}
	}
	if !p.verify {
		return nil
	}
	if !p.json {
		summary := fmt.Sprintf("verified %d logs, %d segments, %s batches, %s records, %s\n",
			len(logs), p.segments, count(int64(p.batchCount)), count(p.records), formatSize(p.bytes))
		if err := p.inv.print(summary); err != nil {
			return err
		}
	}
	if p.faults > 0 {
		return fmt.Errorf("damaged places: %d; keep the folder as it is and restore the files from a copy", p.faults)
	}
	return nil
}

func (p *logPrinter) log(dir string) error {
	p.owner = ownerOf(dir)
	if !p.json && !p.verify {
		if err := p.inv.print(dir + p.owner.text() + "\n"); err != nil {
			return err
		}
	}
	var visit commitlog.Visit
	if p.batches {
		visit = p.batch
	}
	return commitlog.InspectLog(vfs.OS(), dir, p.marks, visit, p.segment)
}

func (p *logPrinter) segment(s commitlog.SegmentSummary) error {
	p.segments++
	p.batchCount += s.Batches
	p.records += s.Records
	p.bytes += s.SizeBytes
	p.faults += len(s.Faults)
	switch {
	case p.json:
		return p.inv.print(string(appendSegmentJSON(nil, &s, p.owner)))
	case p.verify:
		// Long work shows that it goes on; who cannot be told is not in need of it.
		_, _ = fmt.Fprintf(p.inv.stderr, "%s %s\n", s.File, formatSize(s.SizeBytes))
		return p.inv.print(faultsText(&s))
	}
	return p.inv.print(segmentText(&s) + faultsText(&s))
}

func (p *logPrinter) batch(position int64, h *batch.Header, b []byte) error {
	if p.json {
		return p.inv.print(string(appendBatchJSON(nil, position, h)))
	}
	return p.inv.print(batchText(position, h, b))
}
