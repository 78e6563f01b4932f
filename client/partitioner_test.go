package client_test

import (
	"errors"
	"testing"

	"github.com/trestlehq/trestle/client"
	"github.com/trestlehq/trestle/metadata/keyhash"
)

// TestPartitionersAgreeWithOtherClients: the keys and hashes are those that other clients of NATS logs were seen to make.
func TestPartitionersAgreeWithOtherClients(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		key           string
		murmur, crc   uint32
		two, three    int // murmur3
		twoC, threeC  int // CRC-32
		tenth, tenthC int
	}{
		{"", 1257683291, 0, 1, 2, 0, 0, 1, 0},
		{"key", 2580712894, 2324736937, 0, 1, 1, 1, 4, 7},
		{"2ndPartition", 122197930, 2737369385, 0, 1, 1, 2, 0, 5},
		{"user-1", 3441879530, 2116437524, 0, 2, 0, 2, 0, 4},
		{"order:42", 224452362, 1319023403, 0, 0, 1, 2, 2, 3},
		{"hello", 168865661, 907060870, 1, 2, 0, 1, 1, 0},
	} {
		if got := keyhash.Murmur3([]byte(v.key)); got != v.murmur {
			t.Errorf("%q: murmur3 is %d, want %d", v.key, got, v.murmur)
		}
		if got := keyhash.CRC32([]byte(v.key)); got != v.crc {
			t.Errorf("%q: crc32 is %d, want %d", v.key, got, v.crc)
		}
		for partitions, want := range map[int][2]int{2: {v.two, v.twoC}, 3: {v.three, v.threeC}, 10: {v.tenth, v.tenthC}} {
			m := &client.Message{Key: []byte(v.key)}
			got := [2]int{client.ByKey().Partition(m, partitions), client.ByKeyCRC32().Partition(m, partitions)}
			if got != want {
				t.Errorf("%q of %d: got %v, want %v", v.key, partitions, got, want)
			}
		}
	}
}

func TestPartitionersWithoutAKey(t *testing.T) {
	t.Parallel()
	const partitions = 7
	keyed := client.ByKey()
	named := &client.Message{Headers: []client.HeaderField{{Name: "Nats-Msg-Id", Value: []byte("hello")}}}
	for range 10 { // the ID counts where there is no key
		if got := keyed.Partition(named, partitions); got != 168865661%partitions {
			t.Errorf("got partition %d, want that of the ID", got)
		}
	}
	for name, p := range map[string]client.Partitioner{"by key": keyed, "round robin": client.RoundRobin(), "crc32": client.ByKeyCRC32()} {
		times := map[int]int{}
		for range 3 * partitions {
			times[p.Partition(&client.Message{}, partitions)]++
		}
		for i := range partitions {
			if times[i] != 3 {
				t.Errorf("%s: partition %d got %d of messages without a key, want 3", name, i, times[i])
			}
		}
	}
	begins := map[int]bool{}
	for range 100 {
		begins[client.RoundRobin().Partition(&client.Message{}, partitions)] = true
	}
	if len(begins) < 3 {
		t.Errorf("round robin begins at %v only: those who publish once all go there", begins)
	}
}

// chosen is a partitioner that always chooses the same.
type chosen int

func (c chosen) Partition(*client.Message, int) int { return int(c) }

func TestPublishByPartitioner(t *testing.T) {
	t.Parallel()
	server := newFakeServer("orders", 3)
	s := connect(t, server.listen(t).addr).Stream("orders")
	for _, key := range []string{"key", "user-1", "order:42"} {
		ack, err := s.Publish(within(t), []byte("v"), client.Key(key), client.PartitionBy(client.ByKey()))
		if want := map[string]int{"key": 1, "user-1": 2, "order:42": 0}[key]; err != nil || ack.Partition != want {
			t.Errorf("%s: got partition %d, %v, want %d", key, ack.Partition, err, want)
		}
	}
	ack, err := s.Publish(within(t), []byte("v"), client.ID("hello"), client.PartitionBy(client.ByKey()))
	if err != nil || ack.Partition != 2 {
		t.Errorf("got partition %d, %v for an ID, want 2", ack.Partition, err)
	}
	for _, bad := range []int{-1, 3} {
		if _, err := s.Publish(within(t), nil, client.PartitionBy(chosen(bad))); !errors.Is(err, client.ErrInvalidArgument) {
			t.Errorf("got %v of partition %d, want ErrInvalidArgument", err, bad)
		}
	}
	if _, err := s.Publish(within(t), nil, client.To(1), client.PartitionBy(chosen(1))); !errors.Is(err, client.ErrInvalidArgument) {
		t.Errorf("got %v of To and PartitionBy, want ErrInvalidArgument", err)
	}
}
