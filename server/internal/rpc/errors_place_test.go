package rpc_test

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	trestlev1 "github.com/trestlehq/trestle/proto/trestle/v1"
)

// TestOffsetErrorsNameThePartition: whoever reads or publishes to many learns which one it was, from the text and from the
// names.
func TestOffsetErrorsNameThePartition(t *testing.T) {
	t.Parallel()
	k := start(t)
	k.create(t, "s", func(c *trestlev1.StreamConfig) { c.Partitions = proto.Int32(2) })
	publish := request("s", "v")
	publish.Partition, publish.ExpectedNextOffset = proto.Int32(1), proto.Int64(7)
	_, wrong := k.log.Publish(t.Context(), publish)
	_, beyond := k.log.Fetch(t.Context(), &trestlev1.FetchRequest{Read: &trestlev1.SubscribeRequest{Stream: "s", Partition: 1, Start: at(7)}})
	for reason, err := range map[string]error{"WRONG_OFFSET": wrong, "OFFSET_BEYOND_END": beyond} {
		if reasonOf(err) != reason || !strings.HasPrefix(status.Convert(err).Message(), `partition 1 of stream "s": `) {
			t.Errorf("got %v (%s), want %s of partition 1", err, reasonOf(err), reason)
			continue
		}
		info, ok := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
		if names := info.GetMetadata(); !ok || names["stream"] != "s" || names["partition"] != "1" || names["next_offset"] != "0" {
			t.Errorf("%s: got names %v, want the stream, the partition and the next offset", reason, info.GetMetadata())
		}
	}
}
