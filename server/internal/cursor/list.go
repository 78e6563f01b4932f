package cursor

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"
)

// Cursor is a name and its position.
type Cursor struct {
	Key
	Position
}

// List returns at most limit cursors of a stream, in the order of ids, then of partitions: those after the key after, of
// which the stream does not count; the zero Key is before all.
func (k *Keeper) List(ctx context.Context, stream uuid.UUID, after Key, limit int) ([]Cursor, error) {
	var found []Cursor
	_, err := k.known(ctx, func() error {
		for name, e := range k.streams[stream] {
			c := Cursor{Key{Stream: stream, Partition: name.partition, ID: name.id}, e.Position}
			if after.ID == "" || compare(c.Key, after) > 0 {
				found = append(found, c)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b Cursor) int { return compare(a.Key, b.Key) })
	return found[:min(limit, len(found))], nil
}

func compare(a, b Key) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Partition, b.Partition))
}
