package commitlog

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	segmentSuffix = ".seg"
	indexSuffix   = ".idx"
	tempSuffix    = ".tmp" // a file that was not finished; removed when the log is opened
)

// segment is one file of a log: the batches from base on.
type segment struct {
	name       string // path of the file
	base       Position
	generation uint32 // 0 as first written; raised by each rewrite

	// Guarded by Log.mu; in the active segment also stable while Log.writing is held. Invariant: base.Seq <= end.Seq.
	end    Position // after the last batch; in a sealed segment also the base of the next one
	size   int64    // bytes that may be read: of the active segment what is written, of a sealed one the file
	sealed bool
}

// segmentName is the path of the segment that begins at base. Names sort as their bases do, and a rewritten segment
// after the one that it replaces.
func segmentName(dir string, base Position, generation uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%020d-%020d-%06d%s", base.Seq, base.Offset, generation, segmentSuffix))
}

// parseSegmentName reads base and generation out of the name of a segment file.
func parseSegmentName(name string) (base Position, generation uint32, ok bool) {
	stem, ok := strings.CutSuffix(filepath.Base(name), segmentSuffix)
	if !ok {
		return base, 0, false
	}
	return parseStem(stem)
}

// parseStem reads a file's name without its suffix. Opening a log does this for each file in it.
func parseStem(stem string) (base Position, generation uint32, ok bool) {
	const seq, offset, last = 20, 20 + 1 + 20, 20 + 1 + 20 + 1 // where the numbers end, and where the last begins
	if len(stem) < last+6 || stem[seq] != '-' || stem[offset] != '-' || stem[last] == '0' && len(stem) > last+6 {
		return base, 0, false
	}
	n, errSeq := strconv.ParseUint(stem[:seq], 10, 64)
	at, errOffset := strconv.ParseUint(stem[seq+1:offset], 10, 63)
	g, errGeneration := strconv.ParseUint(stem[last:], 10, 32)
	if errSeq != nil || errOffset != nil || errGeneration != nil || n == 0 {
		return base, 0, false
	}
	return Position{Seq: n, Offset: int64(at)}, uint32(g), true
}

func isIndexName(name string) bool {
	stem, ok := strings.CutSuffix(name, indexSuffix)
	if ok {
		_, _, ok = parseStem(stem)
	}
	return ok
}

func (s *segment) indexName() string { return strings.TrimSuffix(s.name, segmentSuffix) + indexSuffix }
