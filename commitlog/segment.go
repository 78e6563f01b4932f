package commitlog

import (
	"fmt"
	"path/filepath"
	"strings"
)

const (
	segmentSuffix = ".seg"
	indexSuffix   = ".idx"
	tempSuffix    = ".tmp" // a file that was not finished; removed when the log is opened
)

// segment is one file of a log: the batches from base on.
type segment struct {
	name string // path of the file
	base Position

	// Guarded by Log.mu. Invariant: base.Seq <= end.Seq.
	end    Position // after the last batch; in a sealed segment also the base of the next one
	size   int64    // bytes that may be read: of the active segment what is written, of a sealed one the file
	sealed bool
}

// segmentName is the path of the segment that begins at base. Names sort as their bases do.
func segmentName(dir string, base Position) string {
	return filepath.Join(dir, fmt.Sprintf("%020d-%020d%s", base.Seq, base.Offset, segmentSuffix))
}

// parseSegmentName reads the base out of the name of a segment file.
func parseSegmentName(name string) (Position, bool) {
	var base Position
	stem, ok := strings.CutSuffix(filepath.Base(name), segmentSuffix)
	if !ok {
		return base, false
	}
	if n, err := fmt.Sscanf(stem, "%020d-%020d", &base.Seq, &base.Offset); n != 2 || err != nil {
		return base, false
	}
	return base, filepath.Base(segmentName("", base)) == stem+segmentSuffix && base.Seq > 0 && base.Offset >= 0
}

func (s *segment) indexName() string { return strings.TrimSuffix(s.name, segmentSuffix) + indexSuffix }
