package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trestlehq/trestle/client"
)

// createdText says what was created, what the server chose, and what to type next.
func createdText(info *client.StreamInfo, existed bool) string {
	var b strings.Builder
	cfg := &info.Config
	if existed {
		fmt.Fprintf(&b, "stream %s is there already, configured the same\n", cfg.Name)
	} else {
		fmt.Fprintf(&b, "created stream %s\n", cfg.Name)
	}
	writeConfig(&b, cfg)
	subject := exampleSubject(cfg.Subjects)
	fmt.Fprintf(&b, "next:\n")
	fmt.Fprintf(&b, "  nats pub %s 'hello'\n", subject)
	fmt.Fprintf(&b, "  trestle pub %s --subject %s 'hello'\n", cfg.Name, subject)
	fmt.Fprintf(&b, "  trestle sub %s --from earliest\n", cfg.Name)
	return b.String()
}

// exampleSubject is a subject that one of the patterns stands for.
func exampleSubject(subjects []string) string {
	if len(subjects) == 0 {
		return "SUBJECT"
	}
	tokens := strings.Split(subjects[0], ".")
	for i, token := range tokens {
		if token == "*" || token == ">" {
			tokens[i] = "1"
		}
	}
	return strings.Join(tokens, ".")
}

// writeConfig writes the settings of a stream, a few to a line.
func writeConfig(b *strings.Builder, cfg *client.StreamConfig) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	row("subjects", "%s", strings.Join(cfg.Subjects, " "))
	row("partitions", "%d, plain messages %s, keys by %s", cfg.Partitions, sharingText(cfg), cfg.KeyHash)
	row("replicas", "%d, at least %d in sync", cfg.Replicas, cfg.MinISR)
	sync := string(cfg.Sync)
	if cfg.Sync == client.SyncInterval {
		sync += " " + formatDuration(cfg.SyncInterval)
	}
	row("storage", "%s, sync %s", cfg.Storage, sync)
	row("retention", "%s", retentionText(cfg))
	row("segments", "%s or %s", sizeOrNone(cfg.SegmentBytes), durationOrNone(cfg.SegmentAge))
	row("messages", "up to %s, ids are remembered for %s", sizeOrNone(cfg.MaxMessageBytes), durationOrNone(cfg.DedupWindow))
	var extras []string
	if cfg.QueueGroup != "" {
		extras = append(extras, "queue group "+cfg.QueueGroup)
	}
	if cfg.Fanout {
		extras = append(extras, "fan-out")
	}
	if cfg.Reply != "" && cfg.Reply != client.ReplyNone {
		extras = append(extras, "reply "+string(cfg.Reply))
	}
	if cfg.RequireExpectedOffset {
		extras = append(extras, "expected offsets required")
	}
	if cfg.Compression != "" {
		extras = append(extras, "compression "+string(cfg.Compression))
	}
	if len(extras) > 0 {
		row("with", "%s", strings.Join(extras, ", "))
	}
}

// sharingText says which partition records a plain NATS message.
func sharingText(cfg *client.StreamConfig) string {
	switch by := partitionByText(cfg.PartitionBy); {
	case by != "none":
		return "by " + by
	case cfg.Partitions > 1:
		return "to partition 0 (see --partition-by)"
	default:
		return "to partition 0"
	}
}

func retentionText(cfg *client.StreamConfig) string {
	var limits []string
	if cfg.RetainAge > 0 {
		limits = append(limits, formatDuration(cfg.RetainAge))
	}
	if cfg.RetainBytes > 0 {
		limits = append(limits, formatSize(cfg.RetainBytes))
	}
	if cfg.RetainMessages > 0 {
		limits = append(limits, count(cfg.RetainMessages)+" messages")
	}
	text := "none: nothing is deleted"
	if len(limits) > 0 {
		text = "per partition " + strings.Join(limits, ", ")
	}
	if cfg.Compact {
		text += "; the newest message of each key is kept only"
	}
	return text
}

func sizeOrNone(n int64) string {
	if n <= 0 {
		return "no limit"
	}
	return formatSize(n)
}

func durationOrNone(d time.Duration) string {
	if d <= 0 {
		return "no time"
	}
	return formatDuration(d)
}

// streamText describes one stream.
func streamText(info *client.StreamInfo) string {
	var b strings.Builder
	fmt.Fprintf(&b, "stream %s: %s messages\n", info.Config.Name, count(messagesOf(info)))
	fmt.Fprintf(&b, "  %-12s%s\n", "uuid", info.UUID)
	writeConfig(&b, &info.Config)
	b.WriteByte('\n')
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PARTITION\tLEADER\tEPOCH\tISR\tMODE\tLOG START\tNEXT\tHIGH WATERMARK\tDURABLE\tMESSAGES\tSIZE\tGAPS")
	for i := range info.Partitions {
		p := &info.Partitions[i]
		fmt.Fprintf(table, "%d\t%s\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\n", p.ID, p.Leader, p.LeaderEpoch,
			strings.Join(p.ISR, ","), p.Mode, p.LogStart, p.NextOffset, p.HighWatermark, p.DurableOffset, p.Messages,
			formatSize(p.Bytes), p.Gaps)
	}
	// A strings.Builder takes all that is written to it.
	_ = table.Flush()
	for i := range info.Partitions {
		p := &info.Partitions[i]
		if p.Fault != "" {
			fmt.Fprintf(&b, "partition %d is at fault: %s\n", p.ID, p.Fault)
		}
		if p.LastGap != nil {
			fmt.Fprintf(&b, "partition %d: last %s\n", p.ID, gapText(p.LastGap))
		}
	}
	return b.String()
}

// streamTable lists streams, one a line.
func streamTable(streams []client.StreamInfo, glob string) string {
	if len(streams) == 0 {
		if glob != "" {
			return fmt.Sprintf("no stream matches %s\n", glob)
		}
		return "no streams; make one: trestle stream create orders --subject 'orders.>'\n"
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSUBJECTS\tPARTITIONS\tMESSAGES\tSIZE\tGAPS\tSTATE")
	for i := range streams {
		info := &streams[i]
		var bytes int64
		var gaps uint64
		for j := range info.Partitions {
			bytes += info.Partitions[j].Bytes
			gaps += info.Partitions[j].Gaps
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", info.Config.Name, strings.Join(info.Config.Subjects, " "),
			len(info.Partitions), count(messagesOf(info)), formatSize(bytes), count(gaps), stateText(info.Partitions))
	}
	_ = table.Flush()
	return b.String()
}

// stateText is the mode of the partitions, or fault if any has one.
func stateText(partitions []client.PartitionInfo) string {
	state := ""
	for i := range partitions {
		switch mode := string(partitions[i].Mode); {
		case partitions[i].Fault != "":
			return "fault"
		case state == "":
			state = mode
		case state != mode:
			state = "mixed"
		}
	}
	return state
}

// count prints a number with its thousands apart.
func count[N int | int64 | uint64](n N) string {
	text := strconv.FormatInt(int64(n), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
