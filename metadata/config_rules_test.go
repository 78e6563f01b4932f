package metadata

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trestlehq/trestle/metadata/names"
	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

type config = trestlev1.StreamConfig

// brokenRule is what breaks a rule of configurations, and the field that the error names.
type brokenRule struct {
	spoil func(*config)
	field string
}

// Every rule refuses what breaks it, with the field's name and a remedy.
func TestConfigRules(t *testing.T) {
	t.Parallel()
	rules := brokenShapes()
	maps.Copy(rules, brokenSettings())
	for name, c := range rules {
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

// brokenShapes break the rules of names, subjects, partitions, replicas and retention.
func brokenShapes() map[string]brokenRule {
	many := make([]string, maxSubjects+1)
	for i := range many {
		many[i] = fmt.Sprintf("s.%d.*.*.*.%d", i, i)
	}
	return map[string]brokenRule{
		"no name":             {func(c *config) { c.Name = "" }, "stream name"},
		"name of ours":        {func(c *config) { c.Name = "__x" }, "stream name"},
		"name with a slash":   {func(c *config) { c.Name = "a/b" }, "stream name"},
		"no subject":          {func(c *config) { c.Subjects = nil }, "subjects"},
		"too many subjects":   {func(c *config) { c.Subjects = many }, "subjects"},
		"subjects overlap":    {func(c *config) { c.Subjects = []string{"a.*", "a.b"} }, "subjects"},
		"subject reserved":    {func(c *config) { c.Subjects = []string{"$JS.>"} }, "subject"},
		"subject malformed":   {func(c *config) { c.Subjects = []string{"a..b"} }, "subject"},
		"partitions 0":        {func(c *config) { c.Partitions = proto.Int32(0) }, "partitions"},
		"partitions -1":       {func(c *config) { c.Partitions = proto.Int32(-1) }, "partitions"},
		"too many partitions": {func(c *config) { c.Partitions = proto.Int32(MaxStreamPartitions + 1) }, "partitions"},
		"replicas 0":          {func(c *config) { c.Replicas = proto.Int32(0) }, "replicas"},
		"replicas 8":          {func(c *config) { c.Replicas = proto.Int32(8) }, "replicas"},
		"min ISR 0":           {func(c *config) { c.MinIsr = proto.Int32(0) }, "min_isr"},
		"min ISR > replicas":  {func(c *config) { c.Replicas, c.MinIsr = proto.Int32(2), proto.Int32(3) }, "min_isr"},
		"age negative":        {func(c *config) { c.RetainAge = durationpb.New(-1) }, "retain_age"},
		"age malformed":       {func(c *config) { c.RetainAge = &durationpb.Duration{Seconds: 1, Nanos: -1} }, "retain_age"},
		"age too long":        {func(c *config) { c.RetainAge = durationpb.New(maxAge + 1) }, "retain_age"},
		"bytes negative":      {func(c *config) { c.RetainBytes = proto.Int64(-1) }, "retain_bytes"},
		"messages negative":   {func(c *config) { c.RetainMessages = proto.Int64(-1) }, "retain_messages"},
		"compact, messages":   {func(c *config) { c.Compact, c.RetainMessages = proto.Bool(true), proto.Int64(1) }, "retain_messages"},
	}
}

// brokenSettings break the rules of what is stored how, and of how keys are hashed.
func brokenSettings() map[string]brokenRule {
	labels := map[string]string{}
	for i := range maxLabels + 1 {
		labels[fmt.Sprint(i)] = ""
	}
	return map[string]brokenRule{
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
	}
}
