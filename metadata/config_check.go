package metadata

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/metadata/names"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// checkConfig checks a complete configuration.
func checkConfig(c *trestlev1.StreamConfig, internal bool) error {
	if err := checkName(c.GetName(), internal); err != nil {
		return err
	}
	for _, check := range []func(*trestlev1.StreamConfig) error{
		checkEnums, checkReplication, checkLimits, checkStorage, checkSharing, checkTexts,
	} {
		if err := check(c); err != nil {
			return err
		}
	}
	if err := checkSubjects(c, internal); err != nil {
		return err
	}
	if textBytes(c) < MaxConfigBytes/2 { // the rest is a few hundred bytes, and counting them exactly takes time
		return nil
	}
	if size := proto.Size(c); size > MaxConfigBytes {
		return invalid("config", fmt.Sprintf("%d bytes", size), "is too large", fmt.Sprintf("use shorter or fewer subjects and labels: at most %d bytes", MaxConfigBytes))
	}
	return nil
}

// textBytes is how many bytes the texts of a configuration have, with more than what encoding adds to each.
func textBytes(c *trestlev1.StreamConfig) int {
	n := len(c.GetName()) + len(c.GetQueueGroup())
	for _, subject := range c.GetSubjects() {
		n += len(subject) + 8
	}
	for name, value := range c.GetLabels() {
		n += len(name) + len(value) + 16
	}
	return n
}

// checkName lets only brokers use names that begin with __, and nobody others than the rules of names allow.
func checkName(name string, internal bool) error {
	if !internal {
		return names.Stream(name)
	}
	own, isOwn := strings.CutPrefix(name, "__")
	if !isOwn {
		return invalid("name", fmt.Sprintf("%q", name), "is no name of an internal stream", "begin it with __")
	}
	if len(name) > names.MaxLength {
		return names.Stream(name)
	}
	return names.Stream(own)
}

func invalid(field, value, problem, remedy string) error {
	return &ConfigError{Field: field, Value: value, Problem: problem, Remedy: remedy}
}

// within checks a number against a range that includes both ends.
func within[N int32 | int64](field string, n, least, most N) error {
	if n < least || n > most {
		return invalid(field, fmt.Sprint(n), "is out of range", fmt.Sprintf("use %d to %d", least, most))
	}
	return nil
}

// checkEnums refuses values that this version has no name for: it could not act on them.
func checkEnums(c *trestlev1.StreamConfig) error {
	message := c.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.Enum() == nil {
			continue
		}
		if n := message.Get(field).Enum(); field.Enum().Values().ByNumber(n) == nil {
			return invalid(string(field.Name()), fmt.Sprint(n), "is not known to this version", "use one of the values that it names")
		}
	}
	return nil
}

func checkReplication(c *trestlev1.StreamConfig) error {
	if err := within("partitions", c.GetPartitions(), 1, MaxStreamPartitions); err != nil {
		return err
	}
	if err := within("replicas", c.GetReplicas(), 1, MaxReplicas); err != nil {
		return err
	}
	if c.GetMinIsr() < 1 || c.GetMinIsr() > c.GetReplicas() {
		return invalid("min_isr", fmt.Sprint(c.GetMinIsr()), fmt.Sprintf("does not fit replicas = %d", c.GetReplicas()),
			fmt.Sprintf("use 1 to %d", c.GetReplicas()))
	}
	return nil
}

func checkLimits(c *trestlev1.StreamConfig) error {
	for _, d := range []struct {
		field       string
		value       *durationpb.Duration
		least, most time.Duration
	}{
		{"retain_age", c.GetRetainAge(), 0, maxAge},
		{"segment_age", c.GetSegmentAge(), minSegmentAge, maxAge},
		{"dedup_window", c.GetDedupWindow(), 0, maxDedupWindow},
	} {
		if !validAge(d.value, d.least, d.most) {
			return invalid(d.field, d.value.AsDuration().String(), "is out of range", fmt.Sprintf("use %v to %v", d.least, d.most))
		}
	}
	for _, n := range []struct {
		field              string
		value, least, most int64
	}{
		{"retain_bytes", c.GetRetainBytes(), 0, 1<<63 - 1},
		{"retain_messages", c.GetRetainMessages(), 0, 1<<63 - 1},
		{"segment_bytes", c.GetSegmentBytes(), minSegmentBytes, maxSegmentBytes},
		{"max_message_bytes", c.GetMaxMessageBytes(), minMessageBytes, maxMessageBytes},
	} {
		if err := within(n.field, n.value, n.least, n.most); err != nil {
			return err
		}
	}
	if c.GetCompact() && c.GetRetainMessages() > 0 {
		return invalid("retain_messages", fmt.Sprint(c.GetRetainMessages()), "cannot be kept by a compacted stream, whose messages go one by one",
			"leave out retain_messages or compact") // protocol.md 1.14
	}
	return nil
}

func checkStorage(c *trestlev1.StreamConfig) error {
	if c.GetStorage() == trestlev1.Storage_STORAGE_MEMORY && c.GetSync() != trestlev1.Sync_SYNC_NONE {
		return invalid("sync", c.GetSync().String(), "is more than memory can do", "use SYNC_NONE, or STORAGE_DISK") // protocol.md 3.8
	}
	if c.GetSync() == trestlev1.Sync_SYNC_INTERVAL {
		if !validAge(c.GetSyncInterval(), minSyncInterval, maxSyncInterval) {
			return invalid("sync_interval", c.GetSyncInterval().AsDuration().String(), "is out of range", fmt.Sprintf("use %v to %v", minSyncInterval, maxSyncInterval))
		}
	} else if c.GetSyncInterval() != nil {
		return invalid("sync_interval", c.GetSyncInterval().AsDuration().String(), "means nothing with "+c.GetSync().String(), "leave it out, or use SYNC_INTERVAL")
	}
	return nil
}

// checkSharing checks how plain messages are shared out over partitions, as far as it does not depend on subjects.
func checkSharing(c *trestlev1.StreamConfig) error {
	const field = "partition_by"
	by := c.GetPartitionBy()
	if by == nil {
		return nil
	}
	switch by := by.GetBy().(type) {
	case *trestlev1.PartitionBy_Subject:
		if !by.Subject {
			return invalid(field, "subject: false", "names nothing to hash", "say subject: true, or leave partition_by out")
		}
	case *trestlev1.PartitionBy_Token:
		return within(field+".token", by.Token, 1, maxSubjectTokens)
	case *trestlev1.PartitionBy_Header:
		if by.Header == "" || len(by.Header) > maxHeaderNameBytes || strings.ContainsFunc(by.Header, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return invalid(field+".header", fmt.Sprintf("%.40q", by.Header), "is no name of a header",
				fmt.Sprintf("use 1 to %d printable ASCII characters without spaces and colons", maxHeaderNameBytes))
		}
	default:
		return invalid(field, "{}", "names nothing to hash", "name subject, token or header, or leave partition_by out")
	}
	return nil
}

func checkTexts(c *trestlev1.StreamConfig) error {
	if g := c.GetQueueGroup(); len(g) > maxQueueGroupBytes || strings.ContainsFunc(g, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return invalid("queue_group", fmt.Sprintf("%.40q", g), "is no NATS queue group", fmt.Sprintf("use at most %d bytes without white space", maxQueueGroupBytes))
	}
	return checkLabels("labels", c.GetLabels())
}

func checkLabels(field string, labels map[string]string) error {
	if len(labels) > maxLabels {
		return invalid(field, fmt.Sprintf("%d entries", len(labels)), "are too many", fmt.Sprintf("use at most %d", maxLabels))
	}
	var bad []string
	for name, value := range labels {
		if name == "" || len(name)+len(value) > maxLabelBytes {
			bad = append(bad, name)
		}
	}
	if len(bad) > 0 {
		name := slices.Min(bad) // of several always the same one: answers of replicas are equal
		return invalid(field, fmt.Sprintf("%.40q", name), fmt.Sprintf("has %d bytes", len(name)+len(labels[name])),
			fmt.Sprintf("use a name, and at most %d bytes of name and value", maxLabelBytes))
	}
	return nil
}

// checkKept refuses a change of what a stream keeps for ever: storage, queue group and hash (protocol.md 3.14).
func checkKept(have, want *trestlev1.StreamConfig) error {
	differences := Differences(have, want)
	for _, field := range []string{"name", "storage", "queue_group", "key_hash"} {
		if difference, differs := differences[field]; differs {
			return invalid(field, "another one", "cannot be given to a stream that exists ("+difference+")", "create another stream")
		}
	}
	return nil
}

// Differences says how the configuration that is asked for differs from the one that there is, field by field.
func Differences(have, want *trestlev1.StreamConfig) map[string]string {
	found := map[string]string{}
	fields := have.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		a, b := have.ProtoReflect().Get(field), want.ProtoReflect().Get(field)
		if !a.Equal(b) {
			found[string(field.Name())] = fmt.Sprintf("have %s, want %s", show(field, a), show(field, b))
		}
	}
	return found
}

// show prints a field the same way on every broker: text forms of protobuf vary from build to build on purpose.
func show(field protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case field.Enum() != nil:
		if value := field.Enum().Values().ByNumber(v.Enum()); value != nil {
			return string(value.Name())
		}
	case field.IsList():
		list := make([]string, v.List().Len())
		for i := range list {
			list[i] = v.List().Get(i).String()
		}
		return fmt.Sprintf("%q", list)
	case field.IsMap():
		return showMap(v.Map())
	case field.Message() != nil:
		switch m := v.Message().Interface().(type) {
		case *durationpb.Duration:
			return m.AsDuration().String()
		case *trestlev1.PartitionBy:
			return showPartitionBy(m)
		}
	}
	return v.String()
}

func showMap(m protoreflect.Map) string {
	entries := make([]string, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		entries = append(entries, fmt.Sprintf("%q: %q", k.String(), v.String()))
		return true
	})
	slices.Sort(entries)
	return "{" + strings.Join(entries, ", ") + "}"
}

func showPartitionBy(by *trestlev1.PartitionBy) string {
	switch by := by.GetBy().(type) {
	case *trestlev1.PartitionBy_Subject:
		return "subject"
	case *trestlev1.PartitionBy_Token:
		return fmt.Sprintf("token %d", by.Token)
	case *trestlev1.PartitionBy_Header:
		return fmt.Sprintf("header %q", by.Header)
	default:
		return "none"
	}
}
