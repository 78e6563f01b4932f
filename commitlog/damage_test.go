package commitlog_test

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trestlehq/trestle/commitlog"
)

// batchPlaces are the places in a segment file at which its batches begin, and that of what follows the last one.
func batchPlaces(content []byte) []int64 {
	var places []int64
	for at := 0; ; {
		at += bytes.Index(content[at:], []byte{'T', 'R', 106, 1})
		places = append(places, int64(at-6))
		size, ok := wholeElement(content[at-6:])
		if !ok {
			return places
		}
		if at += size; !bytes.Contains(content[at-6:], []byte{'T', 'R', 106, 1}) {
			return append(places, int64(at-6))
		}
	}
}

// readPastDamage reads all that can be read, skipping damage, and counts how often it had to.
func readPastDamage(t *testing.T, k *logKit) (all []stored, skipped int) {
	t.Helper()
	return readOnPastDamage(t, k.log.ReadFrom(k.log.Start()), k.log)
}

// readOnPastDamage is readPastDamage with a reader that may have begun.
func readOnPastDamage(t *testing.T, r *commitlog.Reader, log *commitlog.Log) (all []stored, skipped int) {
	t.Helper()
	for {
		got, err := readOn(r, log, 1<<20)
		all = append(all, got...)
		if err == nil {
			return all, skipped
		}
		if !commitlog.IsDamage(err) {
			t.Fatalf("error is %v, want a CorruptError", err)
		}
		if skipped++; skipped > 100 {
			t.Fatal("it never comes to the end")
		}
		if _, err := r.SkipDamage(); err != nil {
			t.Fatal(err)
		}
	}
}

// The log has three segments of five batches of ten records. One of them is damaged after the log was opened.
func TestSkipDamage(t *testing.T) {
	t.Parallel()
	content := batchOf(numbered(0, 10)...)
	size := int64(len(content))
	at := func(batch int64) int64 { return 75 + batch*size }
	for _, test := range []struct {
		name    string
		segment int
		damage  func(file []byte) []byte
		lost    []uint64 // seqs
		skipped int
	}{
		{"a bit of a body", 1, flipAt(at(2) + 150), []uint64{8}, 1},
		{"a bit of a header", 1, flipAt(at(2) + 40), []uint64{8}, 1},
		{"a bit of a magic", 1, flipAt(at(2) + 6), []uint64{8}, 1},
		{"a tag that becomes that of a footer", 1, func(b []byte) []byte { b[at(2)] = 0x1a; return b }, []uint64{8}, 1},
		{"the same in the last segment", 2, func(b []byte) []byte { b[at(2)] = 0x1a; return b }, []uint64{13}, 1},
		{"a tag that becomes zero", 1, func(b []byte) []byte { b[at(2)] = 0; return b }, []uint64{8}, 1},
		{"a length", 1, func(b []byte) []byte { b[at(2)+2] ^= 0x7f; return b }, []uint64{8}, 1},
		{"the first batch", 0, flipAt(at(0) + 120), []uint64{1}, 1},
		{"the last batch of a segment", 0, flipAt(at(4) + 120), []uint64{5}, 1},
		{"the last batch of all", 2, flipAt(at(4) + 120), []uint64{15}, 1},
		{"two batches side by side", 1, func(b []byte) []byte { clear(b[at(1):at(3)]); return b }, []uint64{7, 8}, 1},
		{"two batches apart", 1, func(b []byte) []byte { return flipAt(at(1) + 150)(flipAt(at(3) + 150)(b)) }, []uint64{7, 9}, 2},
		{"all of a segment", 1, func(b []byte) []byte { clear(b); return b }, []uint64{6, 7, 8, 9, 10}, 1},
		{"a batch twice", 1, func(b []byte) []byte { copy(b[at(3):], b[at(2):at(3)]); return b }, []uint64{9}, 1},
		{"batches that changed places", 1, func(b []byte) []byte {
			other := slices.Concat(b[:at(2)], b[at(3):at(4)], b[at(2):at(3)], b[at(4):])
			return other
		}, []uint64{8}, 2},
		{"a batch behind those that follow it", 1, func(b []byte) []byte {
			return slices.Concat(b[:at(1)], b[at(2):at(5)], b[at(1):at(2)], b[at(5):])
		}, []uint64{7}, 2},
		{"a batch in the place of an earlier one", 1, func(b []byte) []byte { copy(b[at(1):], b[at(3):at(4)]); return b }, []uint64{7}, 1},
		{"the same, with damage before it", 1, func(b []byte) []byte {
			copy(b[at(2):], b[at(4):at(5)])
			return flipAt(at(1) + 150)(b)
		}, []uint64{7, 8}, 1},
		{"a segment that ends early", 1, func(b []byte) []byte { return b[:at(3)+20] }, []uint64{9, 10}, 1},
		{"a segment that ends early, with a batch", 1, func(b []byte) []byte { return b[:at(3)] }, []uint64{9, 10}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, segmentsOf(at(5)))
			k.fill(15, 10)
			name := path.Join(k.dir, k.names(".seg")[test.segment])
			setFile(t, k.fs, name, test.damage(fileBytes(t, k.fs, name)))
			all, skipped := readPastDamage(t, k)
			if test.name == "batches that changed places" {
				test.lost, test.skipped = lostSeqs(all, 15), skipped // one of the two, whichever comes first
			}
			if diff := cmp.Diff(test.lost, lostSeqs(all, 15)); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
			for _, s := range all {
				if want := numbered(s.Offset, 1)[0]; string(want.Value) != s.Value {
					t.Errorf("record %d is %q", s.Offset, s.Value)
				}
			}
			if skipped != test.skipped {
				t.Errorf("damage was skipped %d times, want %d", skipped, test.skipped)
			}
		})
	}
}

// damageEnd moves the second to fourth batch of a closed log of five into the place of the third to fifth, and damages what is
// left in that of the second, with which the index begins: the fifth is missing, and there are no bytes in which it would be.
func (k *logKit) damageEnd() {
	k.Helper()
	name := path.Join(k.dir, k.names(".seg")[0])
	content := fileBytes(k, k.fs, name)
	places := batchPlaces(content)
	copy(content[places[2]:], bytes.Clone(content[places[1]:places[4]]))
	setFile(k, k.fs, name, flipAt(places[1]+40)(content))
}

// What is appended behind batches that are missing below the mark is read, by whoever begins then and by whoever waited there,
// who gets nothing else.
func TestAppendBehindMissingBatches(t *testing.T) {
	t.Parallel()
	k := newKit(t, withMarks(1<<20))
	k.fill(5, 10)
	k.close()
	k.damageEnd()
	k.open()
	waiting := k.log.ReadFrom(0)
	before, _ := readOnPastDamage(t, waiting, k.log)
	if diff := cmp.Diff([]uint64{5}, lostSeqs(before, 5)); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
	after := k.append(100, numbered(50, 10)...)
	all, _ := readPastDamage(t, k)
	if diff := cmp.Diff([]uint64{5}, lostSeqs(all, after.First.Seq)); diff != "" {
		t.Errorf("lost after an append (-want +got):\n%s", diff)
	}
	rest, _ := readOnPastDamage(t, waiting, k.log)
	wantNumbers(t, rest, 50, 60)
	back, err := readBack(k.log.ReadBackFrom(k.log.End()), 1<<20)
	if !commitlog.IsDamage(err) {
		t.Errorf("backwards: error is %v, want a CorruptError", err)
	}
	wantNumbers(t, back, 50, 60)
}

// Damage that lies before the place where a reader begins takes it no further back.
func TestSkipDamageBeforeTheStart(t *testing.T) {
	t.Parallel()
	for _, from := range []commitlog.Position{{Offset: 30}, {Seq: 4, Offset: 30}} {
		k := newKit(t, withMarks(1<<20))
		k.fill(5, 10)
		name := path.Join(k.dir, k.names(".seg")[0])
		content := fileBytes(t, k.fs, name)
		setFile(t, k.fs, name, flipAt(batchPlaces(content)[1]+40)(content))
		r := k.log.ReadFrom(from.Offset)
		if from.Seq != 0 {
			r = k.log.ReadFromPosition(from)
		}
		all, skipped := readOnPastDamage(t, r, k.log)
		if skipped != 1 {
			t.Errorf("damage was skipped %d times, want once", skipped)
		}
		wantNumbers(t, all, 30, 50)
	}
}

func flipAt(position int64) func([]byte) []byte {
	return func(b []byte) []byte { b[position] ^= 4; return b }
}

func lostSeqs(all []stored, n uint64) []uint64 {
	there := map[uint64]bool{}
	for _, s := range all {
		there[s.Seq] = true
	}
	var lost []uint64
	for seq := uint64(1); seq <= n; seq++ {
		if !there[seq] {
			lost = append(lost, seq)
		}
	}
	return lost
}

// In a rewritten segment holes are no damage, so a bit that makes a batch look like a footer must not look like one.
func TestDamageInRewrittenSegment(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(2000))
	for i := range 60 {
		k.append(int64(i), keyed("a", "x"), keyed(string(rune('A'+i)), "own"))
	}
	k.commit()
	k.compact(commitlog.Compaction{}, 100)
	before := k.read()
	name := path.Join(k.dir, k.names(".seg")[1])
	content := fileBytes(t, k.fs, name)
	places := batchPlaces(content)
	content[places[3]] = 0x1a
	setFile(t, k.fs, name, content)
	all, skipped := readPastDamage(t, k)
	if skipped != 1 || len(all) != len(before)-1 {
		t.Errorf("%d records after %d skips, want %d after one", len(all), skipped, len(before)-1)
	}
}

// A damaged index costs time and nothing else.
func TestDamagedIndex(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		damage func([]byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"zeros", func(b []byte) []byte { clear(b); return b }},
		{"a bit in every entry", func(b []byte) []byte {
			for i := 0; i < len(b); i += 36 {
				b[i] ^= 1
			}
			return b
		}},
		{"a bit in the middle", func(b []byte) []byte { b[len(b)/72*36] ^= 1; return b }},
		{"cut short", func(b []byte) []byte { return b[:len(b)-17] }},
		{"entries missing in between", func(b []byte) []byte { return slices.Concat(b[:36], b[len(b)-36:]) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, withMarks(200_000))
			k.fill(100, 200)
			for _, reopened := range []bool{false, true} {
				for _, name := range k.names(".idx") {
					name = path.Join(k.dir, name)
					setFile(t, k.fs, name, test.damage(fileBytes(t, k.fs, name)))
				}
				if reopened {
					k.reopen()
				}
				for offset := int64(0); offset < 20_000; offset += 3777 {
					all, err := readOn(k.log.ReadFrom(offset), k.log, 1<<20)
					if err != nil {
						t.Fatal(err)
					}
					wantNumbers(t, all, offset/200*200, 20_000)
					at, err := k.log.OffsetAt(offset / 200)
					if want := max(offset/200-1, 0) * 200; err != nil || at != want {
						t.Fatalf("OffsetAt(%d) = %d, %v, want %d", offset/200, at, err, want)
					}
				}
			}
		})
	}
}

func TestMissingSegmentIsDamage(t *testing.T) {
	t.Parallel()
	k := newKit(t, segmentsOf(2000))
	k.fill(50, 10)
	k.close()
	if err := errors.Join(k.fs.Remove(path.Join(k.dir, k.names(".seg")[1])), k.fs.SyncDir(k.dir)); err != nil {
		t.Fatal(err)
	}
	k.open()
	all, skipped := readPastDamage(t, k)
	if skipped != 1 || len(all) == 0 || all[len(all)-1].Offset != 499 {
		t.Errorf("%d records after %d skips", len(all), skipped)
	}
}
