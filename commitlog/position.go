package commitlog

import "fmt"

// Position is a place between two batches of a log, named by what comes after it: the seq that the next batch has and
// the offset that the next record has. Positions are ends, and ends are exclusive. They are compared by Seq alone:
// control batches take a seq and no offset.
type Position struct {
	Seq    uint64
	Offset int64
}

// Origin is where an empty log begins.
var Origin = Position{Seq: 1}

// Before says whether p comes before q.
func (p Position) Before(q Position) bool { return p.Seq < q.Seq }

// String is for logs and errors.
func (p Position) String() string { return fmt.Sprintf("seq %d offset %d", p.Seq, p.Offset) }
