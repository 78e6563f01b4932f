package commitlog_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trestlehq/trestle/commitlog"
	"github.com/trestlehq/trestle/commitlog/vfs"
)

// asking is a file system whose segments are synced when somebody has said what becomes of it.
type asking struct {
	vfs.FS
	syncs chan *askedSync
	open  int   // files of segments
	full  error // of opening one again
	// folder is what the next sync of a folder fails with: a system says it once to who has the folder open, and each sync opens it.
	folder error
}

func (s *asking) SyncDir(name string) error {
	if err := s.folder; err != nil {
		s.folder = nil
		return err
	}
	return s.FS.SyncDir(name)
}

// askedSync is a sync that waits for an answer.
type askedSync struct {
	file   *askingFile
	answer chan error
}

func (s *asking) Create(name string) (vfs.File, error) {
	file, err := s.FS.Create(name)
	return s.asking(name, file, err)
}

func (s *asking) OpenReadWrite(name string) (vfs.File, error) {
	if s.full != nil {
		return nil, s.full
	}
	file, err := s.FS.OpenReadWrite(name)
	return s.asking(name, file, err)
}

func (s *asking) asking(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".seg") {
		return file, err
	}
	s.open++
	return &askingFile{File: file, of: s}, nil
}

type askingFile struct {
	vfs.File
	of *asking
}

func (f *askingFile) SyncData() error {
	one := &askedSync{file: f, answer: make(chan error)}
	f.of.syncs <- one
	return errors.Join(<-one.answer, f.File.SyncData())
}

func (f *askingFile) Close() error {
	f.of.open--
	return f.File.Close()
}

// rounds is a log with syncs of which a test says how they end.
type rounds struct {
	*logKit
	disk *asking
}

func newRounds(t *testing.T) *rounds {
	t.Helper()
	r := &rounds{}
	r.logKit = newKit(t, func(k *logKit) {
		r.disk = &asking{FS: k.mem, syncs: make(chan *askedSync)}
		k.fs = r.disk
	})
	return r
}

// begin appends, unless nothing is, and begins a round; asked is nil if it does not come to a sync.
func (r *rounds) begin(records int) (asked *askedSync, ended <-chan error) {
	r.Helper()
	if records > 0 {
		r.append(1, numbered(r.log.End().Offset, records)...)
	}
	end := make(chan error, 1)
	go func() {
		_, err := r.log.Sync()
		end <- err
	}()
	synctest.Wait()
	select {
	case asked = <-r.disk.syncs:
	default:
	}
	return asked, end
}

// say ends a sync, and waits until that has led to whatever it leads to.
func (r *rounds) say(one *askedSync, err error) {
	one.answer <- err
	synctest.Wait()
}

func (r *rounds) wantDurable(offset int64) {
	r.Helper()
	if got := r.log.Durable().Offset; got != offset {
		r.Errorf("durable up to %d, want %d", got, offset)
	}
}

func over(ended <-chan error) (is bool, err error) {
	select {
	case err := <-ended:
		return true, err
	default:
		return false, nil
	}
}

// Rounds overlap, each with an open file of its own, and end in their order whichever is through first. A fourth waits; what a round
// covers that is under way is not synced again; and nothing stays open in the end.
func TestRoundsOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRounds(t)
		first, firstEnds := r.begin(5)
		second, secondEnds := r.begin(5)
		if second == nil {
			t.Fatal("the second round waits for the first")
		}
		if first.file == second.file {
			t.Error("both sync through one open file: the system tells it once of what it could not write")
		}
		third, thirdEnds := r.begin(0)
		if third != nil {
			t.Error("what is under way is synced again")
		}
		r.say(second, nil)
		r.wantDurable(0)
		if is, _ := over(secondEnds); is {
			t.Error("the second round ends before the first")
		}
		r.say(first, nil)
		r.wantDurable(10)
		for name, ended := range map[string]<-chan error{"first": firstEnds, "second": secondEnds, "third": thirdEnds} {
			if is, err := over(ended); err != nil || !is {
				t.Errorf("the %s: %v, over: %v", name, err, is)
			}
		}
		if r.disk.open != 1 { // in the cache of descriptors
			t.Errorf("%d files are open", r.disk.open)
		}
		for range 3 { // again, on the same segment
			var asked []*askedSync
			var ends []<-chan error
			used := map[*askingFile]bool{}
			for range 4 {
				one, end := r.begin(1)
				asked, ends = append(asked, one), append(ends, end)
			}
			if asked[2] == nil || asked[3] != nil {
				t.Fatal("not three rounds overlap")
			}
			r.say(asked[0], nil)
			asked[3] = <-r.disk.syncs
			for _, one := range asked[1:] {
				if used[one.file] {
					t.Error("two rounds share an open file")
				}
				used[one.file] = true
			}
			for _, one := range asked[1:] {
				r.say(one, nil)
			}
			for _, end := range ends {
				if err := <-end; err != nil {
					t.Error(err)
				}
			}
		}
		r.wantDurable(22)
		r.close()
		if r.disk.open != 0 {
			t.Errorf("%d files are open when all is closed", r.disk.open)
		}
	})
}

// A round that fails fails those that began after it, whatever their own sync says, and leaves alone those before it.
func TestRoundsFail(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, second error
		secondFirst   bool
		durable       int64
	}{
		"the first, first":   {errDisk, nil, false, 0},
		"the first, then":    {errDisk, nil, true, 0},
		"the second, first":  {nil, errDisk, true, 5},
		"the second, then":   {nil, errDisk, false, 5},
		"both, second first": {errDisk, errDisk, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRounds(t)
				first, firstEnds := r.begin(5)
				second, secondEnds := r.begin(5)
				if test.secondFirst {
					r.say(second, test.second)
					r.say(first, test.first)
				} else {
					r.say(first, test.first)
					r.say(second, test.second)
				}
				r.wantDurable(test.durable)
				if err := <-firstEnds; errors.Is(err, commitlog.ErrFault) != (test.first != nil) {
					t.Errorf("the first: %v", err)
				}
				if err := <-secondEnds; !errors.Is(err, commitlog.ErrFault) {
					t.Errorf("the second: %v", err)
				}
				if _, err := r.log.Sync(); !errors.Is(err, commitlog.ErrFault) {
					t.Errorf("another: %v", err)
				}
			})
		})
	}
}

var errDisk = syscall.EIO

// Without a descriptor to spare a round waits for the one before, and never shares its open file.
func TestRoundsWithoutDescriptor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRounds(t)
		r.disk.full = syscall.EMFILE
		first, firstEnds := r.begin(5)
		second, secondEnds := r.begin(5)
		third, thirdEnds := r.begin(5)
		if second != nil || third != nil {
			t.Error("a file was opened")
		}
		r.say(first, nil)
		one := <-r.disk.syncs
		synctest.Wait()
		select {
		case <-r.disk.syncs:
			t.Error("two rounds sync beside each other through one open file")
		default:
		}
		r.say(one, nil)
		if err := errors.Join(<-firstEnds, <-secondEnds, <-thirdEnds); err != nil {
			t.Error(err)
		}
		r.wantDurable(15)
	})
}

// Who finds that a round makes durable all that there is waits for that one, and not for what is appended meanwhile.
func TestRoundsCover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRounds(t)
		first, firstEnds := r.begin(5)
		_, coveredEnds := r.begin(0)
		second, secondEnds := r.begin(5)
		r.say(first, nil)
		if is, err := over(coveredEnds); !is || err != nil {
			t.Errorf("over: %v, %v", is, err)
		}
		r.say(second, nil)
		if err := errors.Join(<-firstEnds, <-secondEnds); err != nil {
			t.Error(err)
		}
	})
}

// The first round makes the name of a new segment durable. One beside it does not try as well: it could be the one that hears that
// this failed.
func TestRoundsAndTheName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRounds(t)
		r.disk.folder = errDisk
		first, firstEnds := r.begin(5)
		second, secondEnds := r.begin(5)
		r.say(second, nil)
		r.say(first, nil)
		for name, ended := range map[string]<-chan error{"first": firstEnds, "second": secondEnds} {
			if err := <-ended; !errors.Is(err, commitlog.ErrFault) {
				t.Errorf("the %s: %v", name, err)
			}
		}
		r.wantDurable(0)
	})
}

// A segment is sealed when the rounds are over that sync it.
func TestRoundsAndSealing(t *testing.T) {
	t.Parallel()
	r := newRounds(t)
	r.close()
	r.opts.SegmentBytes = 600
	r.open()
	ends := make(chan error, 3)
	begin := func() *askedSync {
		go func() {
			_, err := r.log.Sync()
			ends <- err
		}()
		return <-r.disk.syncs
	}
	r.append(1, numbered(0, 5)...)
	first := begin()
	r.append(1, numbered(5, 5)...)
	second := begin()
	appended := make(chan struct{})
	go func() {
		defer close(appended)
		r.append(1, numbered(10, 20)...) // begins a segment
	}()
	second.answer <- nil
	select {
	case <-r.disk.syncs:
		t.Error("the segment is sealed beside a round")
	case <-appended:
		t.Error("no segment was begun")
	case <-time.After(20 * time.Millisecond):
	}
	first.answer <- nil
	sealing := <-r.disk.syncs
	r.wantDurable(10)
	sealing.answer <- nil
	<-appended
	begin().answer <- nil
	for range cap(ends) {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	r.wantDurable(30)
	r.close()
}
