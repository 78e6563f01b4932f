package metadata

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/metadata/names"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

func minimal() *trestlev1.StreamConfig {
	return &trestlev1.StreamConfig{Name: "orders", Subjects: []string{"orders.*"}}
}

// interfaces.md section 2 and protocol.md 3.14: what a stream is if nothing is asked for.
func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		brokers          int
		replicas, minISR int32
	}{{0, 1, 1}, {1, 1, 1}, {2, 2, 1}, {3, 3, 2}, {9, 3, 2}} {
		got, err := CompleteConfig(minimal(), c.brokers)
		if err != nil {
			t.Fatal(err)
		}
		want := &trestlev1.StreamConfig{
			Name: "orders", Subjects: []string{"orders.*"}, Partitions: proto.Int32(1), Replicas: &c.replicas, MinIsr: &c.minISR,
			RetainAge: durationpb.New(0), RetainBytes: proto.Int64(0), RetainMessages: proto.Int64(0),
			SegmentBytes: proto.Int64(256 << 20), SegmentAge: durationpb.New(24 * time.Hour),
			Sync: trestlev1.Sync_SYNC_ACK, Storage: trestlev1.Storage_STORAGE_DISK, KeyHash: trestlev1.KeyHash_KEY_HASH_MURMUR3,
			DedupWindow: durationpb.New(2 * time.Minute), MaxMessageBytes: proto.Int64(8 << 20),
			Fanout: proto.Bool(false), Reply: trestlev1.Reply_REPLY_NONE, Compact: proto.Bool(false), RequireExpectedOffset: proto.Bool(false),
		}
		if !proto.Equal(got, want) {
			t.Errorf("%d brokers: %v", c.brokers, Differences(want, got))
		}
		if again, err := CompleteConfig(got, 1); err != nil || !proto.Equal(again, got) || !isComplete(got) {
			t.Errorf("completing again changes %v (%v)", Differences(got, again), err)
		}
	}
	for replicas, want := range map[int32]int32{1: 1, 2: 1, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4} {
		asked := minimal()
		asked.Replicas = &replicas
		if got, err := CompleteConfig(asked, 1); err != nil || got.GetMinIsr() != want {
			t.Errorf("%d replicas: min ISR %d (%v), want %d", replicas, got.GetMinIsr(), err, want)
		}
	}
}

func TestConfigOfMemoryAndIntervals(t *testing.T) {
	t.Parallel()
	memory := minimal()
	memory.Storage = trestlev1.Storage_STORAGE_MEMORY
	if got, err := CompleteConfig(memory, 1); err != nil || got.GetSync() != trestlev1.Sync_SYNC_NONE || Durable(got) {
		t.Errorf("memory: %v, sync %v", err, got.GetSync())
	}
	interval := minimal()
	interval.Sync = trestlev1.Sync_SYNC_INTERVAL
	got, err := CompleteConfig(interval, 1)
	if err != nil || got.GetSyncInterval().AsDuration() != 100*time.Millisecond || Durable(got) {
		t.Errorf("interval: %v, %v", err, got.GetSyncInterval())
	}
	back, err := updated(got, &trestlev1.StreamConfig{Sync: trestlev1.Sync_SYNC_ACK}, false)
	if err != nil || back.GetSyncInterval() != nil || !isComplete(back) || !Durable(back) {
		t.Errorf("from interval to ack: %v, %v", err, back)
	}
}

// Every rule refuses what breaks it, with the field's name and a remedy.
func TestConfigRules(t *testing.T) {
	t.Parallel()
	type config = trestlev1.StreamConfig
	many := make([]string, maxSubjects+1)
	for i := range many {
		many[i] = fmt.Sprintf("s.%d.*.*.*.%d", i, i)
	}
	labels := map[string]string{}
	for i := range maxLabels + 1 {
		labels[fmt.Sprint(i)] = ""
	}
	for name, c := range map[string]struct {
		spoil func(*config)
		field string
	}{
		"no name":                {func(c *config) { c.Name = "" }, "stream name"},
		"name of ours":           {func(c *config) { c.Name = "__x" }, "stream name"},
		"name with a slash":      {func(c *config) { c.Name = "a/b" }, "stream name"},
		"no subject":             {func(c *config) { c.Subjects = nil }, "subjects"},
		"too many subjects":      {func(c *config) { c.Subjects = many }, "subjects"},
		"subjects overlap":       {func(c *config) { c.Subjects = []string{"a.*", "a.b"} }, "subjects"},
		"subject reserved":       {func(c *config) { c.Subjects = []string{"$JS.>"} }, "subject"},
		"subject malformed":      {func(c *config) { c.Subjects = []string{"a..b"} }, "subject"},
		"partitions 0":           {func(c *config) { c.Partitions = proto.Int32(0) }, "partitions"},
		"partitions -1":          {func(c *config) { c.Partitions = proto.Int32(-1) }, "partitions"},
		"too many partitions":    {func(c *config) { c.Partitions = proto.Int32(MaxStreamPartitions + 1) }, "partitions"},
		"replicas 0":             {func(c *config) { c.Replicas = proto.Int32(0) }, "replicas"},
		"replicas 8":             {func(c *config) { c.Replicas = proto.Int32(8) }, "replicas"},
		"min ISR 0":              {func(c *config) { c.MinIsr = proto.Int32(0) }, "min_isr"},
		"min ISR > replicas":     {func(c *config) { c.Replicas, c.MinIsr = proto.Int32(2), proto.Int32(3) }, "min_isr"},
		"age negative":           {func(c *config) { c.RetainAge = durationpb.New(-1) }, "retain_age"},
		"age malformed":          {func(c *config) { c.RetainAge = &durationpb.Duration{Seconds: 1, Nanos: -1} }, "retain_age"},
		"age too long":           {func(c *config) { c.RetainAge = durationpb.New(maxAge + 1) }, "retain_age"},
		"bytes negative":         {func(c *config) { c.RetainBytes = proto.Int64(-1) }, "retain_bytes"},
		"messages negative":      {func(c *config) { c.RetainMessages = proto.Int64(-1) }, "retain_messages"},
		"compact, messages":      {func(c *config) { c.Compact, c.RetainMessages = proto.Bool(true), proto.Int64(1) }, "retain_messages"},
		"segment too small":      {func(c *config) { c.SegmentBytes = proto.Int64(minSegmentBytes - 1) }, "segment_bytes"},
		"segment too large":      {func(c *config) { c.SegmentBytes = proto.Int64(maxSegmentBytes + 1) }, "segment_bytes"},
		"segment age 0":          {func(c *config) { c.SegmentAge = durationpb.New(0) }, "segment_age"},
		"sync of a later time":   {func(c *config) { c.Sync = 9 }, "sync"},
		"storage unknown":        {func(c *config) { c.Storage = -1 }, "storage"},
		"memory with ack":        {func(c *config) { c.Storage, c.Sync = trestlev1.Storage_STORAGE_MEMORY, trestlev1.Sync_SYNC_ACK }, "sync"},
		"interval without":       {func(c *config) { c.SyncInterval = durationpb.New(time.Millisecond) }, "sync_interval"},
		"interval of 0":          {func(c *config) { c.Sync, c.SyncInterval = trestlev1.Sync_SYNC_INTERVAL, durationpb.New(0) }, "sync_interval"},
		"interval above 1 s":     {func(c *config) { c.Sync, c.SyncInterval = trestlev1.Sync_SYNC_INTERVAL, durationpb.New(time.Minute) }, "sync_interval"},
		"window negative":        {func(c *config) { c.DedupWindow = durationpb.New(-1) }, "dedup_window"},
		"window of a month":      {func(c *config) { c.DedupWindow = durationpb.New(720 * time.Hour) }, "dedup_window"},
		"message of 0":           {func(c *config) { c.MaxMessageBytes = proto.Int64(0) }, "max_message_bytes"},
		"message above 64 MiB":   {func(c *config) { c.MaxMessageBytes = proto.Int64(64<<20 + 1) }, "max_message_bytes"},
		"queue with a space":     {func(c *config) { c.QueueGroup = "a b" }, "queue_group"},
		"queue too long":         {func(c *config) { c.QueueGroup = strings.Repeat("q", 129) }, "queue_group"},
		"too many labels":        {func(c *config) { c.Labels = labels }, "labels"},
		"label without name":     {func(c *config) { c.Labels = map[string]string{"": "x"} }, "labels"},
		"label too long":         {func(c *config) { c.Labels = map[string]string{"x": strings.Repeat("y", maxLabelBytes)} }, "labels"},
		"hash by nothing":        {func(c *config) { c.PartitionBy = &trestlev1.PartitionBy{} }, "partition_by"},
		"hash by subject: false": {func(c *config) { c.PartitionBy = &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Subject{}} }, "partition_by"},
		"hash by token 0":        {func(c *config) { c.PartitionBy = &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Token{}} }, "partition_by.token"},
		"hash by token 3 of 2":   {func(c *config) { c.PartitionBy = &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Token{Token: 3}} }, "partition_by.token"},
		"hash by no header":      {func(c *config) { c.PartitionBy = &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Header{}} }, "partition_by.header"},
		"hash by a: b": {func(c *config) {
			c.PartitionBy = &trestlev1.PartitionBy{By: &trestlev1.PartitionBy_Header{Header: "a: b"}}
		}, "partition_by.header"},
		"> with two partitions": {func(c *config) { c.Subjects, c.Partitions = []string{"a.>"}, proto.Int32(2) }, "subjects"},
		"too large":             {func(c *config) { c.Subjects = longSubjects(40) }, "config"},
	} {
		asked := minimal()
		c.spoil(asked)
		_, err := CompleteConfig(asked, 3)
		var wrongField *ConfigError
		var wrongName *names.Error
		switch {
		case errors.As(err, &wrongField) && wrongField.Field == c.field && wrongField.Remedy != "" && wrongField.Problem != "":
		case errors.As(err, &wrongName) && wrongName.Kind == c.field && wrongName.Remedy != "":
		default:
			t.Errorf("%s: got %v, want an error about %s", name, err, c.field)
		}
	}
}

func longSubjects(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%d.", i) + strings.Repeat("x", 1000)
	}
	return list
}

// protocol.md 2.3: the subjects that the partitions of one stream listen on do not overlap; here against the plain check of
// all pairs.
func TestExtendedSubjectsDoNotOverlap(t *testing.T) {
	t.Parallel()
	tokens := []string{"a", "*", "1", "2", "3", "01"}
	var subjects []string
	for _, a := range tokens {
		subjects = append(subjects, a)
		for _, b := range tokens {
			subjects = append(subjects, a+"."+b)
		}
	}
	overlaps := func(list []string, partitions int) bool {
		var all []string
		for _, s := range list {
			all = append(all, s)
			for n := 1; n < partitions; n++ {
				all = append(all, fmt.Sprintf("%s.%d", s, n))
			}
		}
		for i, s := range all {
			for _, other := range all[:i] {
				if names.Overlap(s, other) {
					return true
				}
			}
		}
		return false
	}
	refused := 0
	for _, a := range subjects {
		for _, b := range subjects {
			for partitions := int32(1); partitions <= 3; partitions++ {
				asked := &trestlev1.StreamConfig{Name: "s", Subjects: []string{a, b}, Partitions: &partitions}
				_, err := CompleteConfig(asked, 1)
				if want := overlaps(asked.GetSubjects(), int(partitions)); (err != nil) != want {
					t.Errorf("%q and %q with %d partitions: %v, overlap %v", a, b, partitions, err, want)
				} else if want {
					refused++
				}
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// protocol.md 3.14: storage, queue group and hash are for ever; what is named and the same is no change.
func TestConfigUpdate(t *testing.T) {
	t.Parallel()
	asked := minimal()
	asked.QueueGroup = "g"
	asked.Labels = map[string]string{"a": "1", "b": "2"}
	have, err := CompleteConfig(asked, 3)
	if err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]*trestlev1.StreamConfig{
		"name":        {Name: "other"},
		"storage":     {Storage: trestlev1.Storage_STORAGE_MEMORY, Sync: trestlev1.Sync_SYNC_NONE},
		"queue_group": {QueueGroup: "h"},
		"key_hash":    {KeyHash: trestlev1.KeyHash_KEY_HASH_CRC32},
	} {
		var typed *ConfigError
		if _, err := updated(have, change, false); !errors.As(err, &typed) || typed.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	got, err := updated(have, &trestlev1.StreamConfig{
		Name: "orders", QueueGroup: "g", Subjects: []string{"x"}, Labels: map[string]string{"c": "3"}, RetainAge: durationpb.New(time.Hour),
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	if s := got.GetSubjects(); len(s) != 1 || s[0] != "x" {
		t.Errorf("subjects are %q: a list is replaced, not added to", s)
	}
	if l := got.GetLabels(); len(l) != 1 || l["c"] != "3" {
		t.Errorf("labels are %v", l)
	}
	if changed := Differences(have, got); len(changed) != 3 {
		t.Errorf("changed: %v", changed)
	}
	if unchanged, err := updated(have, nil, false); err != nil || !proto.Equal(unchanged, have) {
		t.Errorf("nothing asked: %v, %v", unchanged, err)
	}
}

func TestInternalStreamsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	if _, err := complete(&trestlev1.StreamConfig{Name: "__cursors"}, 1, true); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"cursors", "__", "__a/b", "__" + strings.Repeat("x", names.MaxLength)} {
		if _, err := complete(&trestlev1.StreamConfig{Name: name}, 1, true); err == nil {
			t.Errorf("%q is accepted for an internal stream", name)
		}
	}
}
