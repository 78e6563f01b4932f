package liftbridge

import (
	"maps"
	"slices"

	liftbridgepb "github.com/trestlehq/trestle/proto/liftbridge"
)

// assign shares the partitions of streams out over the members of a group: of each stream, each partition goes to the member
// that subscribed to the stream and has the fewest partitions so far, the first by id among equals. Streams come in the order of
// their names. It is a pure function: whoever computes it finds the same. Members are ids with the streams that they subscribed
// to, partitions says how many a stream has.
func assign(members map[string][]string, partitions map[string]int) map[string][]*liftbridgepb.PartitionAssignment {
	has := make(map[string]int, len(members))
	assigned := make(map[string][]*liftbridgepb.PartitionAssignment, len(members))
	ids := slices.Sorted(maps.Keys(members))
	for _, stream := range slices.Sorted(maps.Keys(partitions)) {
		of := map[string]*liftbridgepb.PartitionAssignment{}
		for number := range partitions[stream] {
			least := ""
			for _, id := range ids {
				if slices.Contains(members[id], stream) && (least == "" || has[id] < has[least]) {
					least = id
				}
			}
			if least == "" {
				break
			}
			if of[least] == nil {
				of[least] = &liftbridgepb.PartitionAssignment{Stream: stream}
				assigned[least] = append(assigned[least], of[least])
			}
			of[least].Partitions = append(of[least].Partitions, int32(number))
			has[least]++
		}
	}
	return assigned
}
