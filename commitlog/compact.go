package commitlog

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/trestlehq/trestle/proto/batch"
)

// Compaction keeps the newest record of each key. Records without a key are kept. So are control batches, and with them
// the history of epochs.
type Compaction struct {
	// MinLag is how old the youngest record of a segment must be before the segment is touched.
	MinLag time.Duration
	// TombstoneDelay is how long, after MinLag, a tombstone stays, so that slow readers learn of it.
	TombstoneDelay time.Duration
	// MinDirtyRatio is the part of the bytes that was never compacted below which it is not worth the work; from 0 to 1.
	MinDirtyRatio float64
	// MemoryBytes bounds the memory for keys, but for a batch that alone takes more; what does not fit is left to the next
	// call; 0: DefaultCompactionMemory.
	MemoryBytes int64
}

// Defaults of Compaction.
const (
	DefaultTombstoneDelay   = 24 * time.Hour
	DefaultMinDirtyRatio    = 0.5
	DefaultCompactionMemory = 128 << 20
)

// Compacted says what a compaction did.
type Compacted struct {
	Segments int   // that were rewritten
	Records  int64 // that were removed
	Bytes    int64 // by which files became smaller
	// More says that the memory for keys was too small for all that is left to do: call again.
	More bool
}

// Compact rewrites segments, oldest first, without the records that a newer one of the same key supersedes. Appends and
// readers go on meanwhile. Only whole, committed segments are touched behind which something is durable. Each is replaced
// at once: a crash leaves the old file or the new one. Calls must not overlap.
func (l *Log) Compact(ctx context.Context, c Compaction, now int64) (Compacted, error) {
	var done Compacted
	segments, dirty, err := l.compactable(&c, now)
	if err != nil || dirty == len(segments) {
		return done, err
	}
	keys, mapped, err := l.mapKeys(ctx, cmp.Or(c.MemoryBytes, DefaultCompactionMemory), segments[dirty:])
	if err != nil {
		return done, err
	}
	for _, s := range segments {
		if !s.base.Before(mapped) {
			break
		}
		if err := ctx.Err(); err != nil {
			return done, err
		}
		w := rewrite{
			log: l, old: s, keys: keys, mapped: mapped, dropTombstones: now - int64(c.MinLag) - int64(c.TombstoneDelay),
		}
		if err := w.run(now, &done); err != nil {
			return done, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.compacted = max(l.compacted, mapped.Seq)
	l.putMarkLocked()
	done.More = mapped.Before(segments[len(segments)-1].end)
	return done, nil
}

// compactable returns the segments that may be compacted, from the oldest on, and the index of the first of them that has
// something in it that never was; that is len(segments) if it is not worth the work.
func (l *Log) compactable(c *Compaction, now int64) (segments []*segment, dirty int, err error) {
	l.mu.Lock()
	segments = l.segments
	n := 0
	var total, fresh int64
	sizes := make([]int64, len(segments))
	// If the segment behind it was lost in a crash, a segment would be taken up anew that ends before the log does.
	for n < len(segments)-1 && segments[n].sealed && (!l.committed.Before(segments[n].end) || mutant("commitlog-compaction-beyond-commit")) && segments[n].end.Before(l.durable) {
		sizes[n] = segments[n].size
		n++
	}
	compacted := l.compacted
	l.mu.Unlock()
	for n > 0 {
		footer, err := l.readFooter(segments[n-1])
		if err != nil {
			return nil, 0, err
		}
		if footer.last.time <= now-int64(c.MinLag) {
			break
		}
		n--
	}
	segments = segments[:n]
	dirty = n
	for i, s := range segments {
		total += sizes[i]
		if s.end.Seq > compacted {
			fresh += sizes[i]
			dirty = min(dirty, i)
		}
	}
	if fresh == 0 || float64(fresh) < c.MinDirtyRatio*float64(total) {
		return segments, n, nil
	}
	return segments, dirty, nil
}

// mapKeys remembers the keys of the segments, in order, from where the log was compacted last, and returns how far it came:
// to the end of the last segment, or to the batch at which the memory was used up. It takes at least one batch.
func (l *Log) mapKeys(ctx context.Context, memory int64, segments []*segment) (*keyMap, Position, error) {
	l.mu.Lock()
	from := max(l.compacted, segments[0].base.Seq)
	l.mu.Unlock()
	for ; ; memory = max(2*memory, minKeyMemory) {
		keys := newKeyMap(memory)
		mapped, err := l.putKeys(ctx, keys, segments, from)
		if err != nil || mapped.Seq > from {
			return keys, mapped, err
		}
	}
}

// putKeys puts the keys of the batches from that seq on into the map, and returns the batch at which it was full, or the
// end of the segments.
func (l *Log) putKeys(ctx context.Context, keys *keyMap, segments []*segment, from uint64) (Position, error) {
	for _, s := range segments {
		if err := ctx.Err(); err != nil {
			return s.base, err
		}
		full := s.end
		err := l.eachBatch(s, func(h *batch.Header, b []byte) error {
			if h.Seq < from {
				return nil
			}
			at := Position{Seq: h.Seq, Offset: h.BaseOffset}
			return l.eachRecord(h, b, func(r *Record) error {
				if r.Key != nil && !keys.put(r.Key, r.Offset) {
					full = at
					return errStop
				}
				return nil
			})
		})
		if errors.Is(err, errStop) {
			return full, nil
		}
		if err != nil {
			return s.base, err
		}
	}
	return segments[len(segments)-1].end, nil
}

// errStop ends a loop over batches or records before its end.
var errStop = errors.New("stop")

// eachBatch calls visit with the batches of a segment in order.
func (l *Log) eachBatch(s *segment, visit func(*batch.Header, []byte) error) error {
	return l.withSegment(s, func(sc *scanner) error {
		for {
			e, err := sc.next()
			if isEnd(err) || err == nil && e.footer != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if err := visit(&e.header, e.bytes); err != nil {
				return err
			}
		}
	})
}

// eachRecord calls visit with the records of a batch in order; a control batch has none. What visit gets is valid until
// it returns.
func (l *Log) eachRecord(h *batch.Header, b []byte, visit func(*Record) error) error {
	if h.Control() {
		return nil
	}
	b, err := Unpack(nil, h, b, l.opts.Codec)
	if err != nil {
		return err
	}
	return records(b, visit)
}
