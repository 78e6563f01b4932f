package commitlog

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/trestlehq/trestle/commitlog/vfs"
	"github.com/trestlehq/trestle/proto/batch"
)

// KeySize is the size in bytes of a master key.
const KeySize = 32

// maxKeyText is the size in bytes of the largest text that is looked at for a key.
const maxKeyText = 4096

var errKeyText = errors.New("a key is 32 bytes as 64 hexadecimal digits or as base64; make one with: openssl rand -hex 32")

// ParseKey reads a master key: 64 hexadecimal digits or base64, of either alphabet, with white space around it. The error
// says nothing of the text.
func ParseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if key, err := hex.DecodeString(text); err == nil && len(key) == KeySize {
		return key, nil
	}
	text = strings.TrimSuffix(text, "=")
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := alphabet.Strict().DecodeString(text); err == nil && len(key) == KeySize && !strings.ContainsAny(text, "\r\n") {
			return key, nil
		}
	}
	return nil, errKeyText
}

// KeyFromFile reads a master key, in the form that ParseKey takes, from a file.
func KeyFromFile(fsys vfs.FS, name string) ([]byte, error) {
	text, err := readSmall(fsys, name, maxKeyText+1)
	if err != nil {
		return nil, fmt.Errorf("reading the master key: %w", err)
	}
	if len(text) > maxKeyText {
		return nil, fmt.Errorf("reading the master key from %s: the file has more than %d bytes: %w", name, maxKeyText, errKeyText)
	}
	key, err := ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading the master key from %s: %w", name, err)
	}
	return key, nil
}

// readSmall reads a file, at most limit bytes of it.
func readSmall(fsys vfs.FS, name string, limit int) ([]byte, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, limit)
	n, err := file.ReadAt(b, 0)
	if isEnd(err) {
		err = nil
	}
	return b[:n], errors.Join(err, file.Close())
}

// A key file holds the data key of a segment, wrapped by the master key. DESIGN.md draws it.
const (
	keySuffix      = ".key"
	keyFileVersion = 1
	keyFileSize    = 76
	maxKeyFileSize = 255 // of a later version: the size is a byte

	keyAtID      = 4
	keyAtWrapped = 12 // nonce, then the data key encrypted, then the tag
	keyAtCRC     = 72
)

// keyID tells data keys apart.
type keyID [8]byte

// dataKey is the key that the values of one segment are encrypted with. It is never changed.
type dataKey struct {
	base Position // of the segment
	id   keyID
	aead cipher.AEAD
}

// keyName is the path of the key file of the segment that begins at base, of whatever generation that is.
func keyName(dir string, base Position) string {
	return filepath.Join(dir, fmt.Sprintf("%020d-%020d%s", base.Seq, base.Offset, keySuffix))
}

// keyBase reads the base out of the name of a key file; seq 0 if it is none.
func keyBase(name string) Position {
	var base Position
	n, err := fmt.Sscanf(name, "%d-%d"+keySuffix, &base.Seq, &base.Offset)
	if n != 2 || err != nil || base.Offset < 0 || keyName("", base) != name {
		return Position{}
	}
	return base
}

func isKeyName(name string) bool { return keyBase(name).Seq > 0 }

// maxCachedKeys bounds the data keys that a log keeps in memory.
const maxCachedKeys = 64

// keyring makes and finds the data keys of a log. It is safe for concurrent use, but for create and drop of one base.
type keyring struct {
	fs     vfs.FS
	dir    string
	owner  []byte // partition UUID and log id: what is encrypted is bound to them
	master cipher.AEAD

	mu     sync.Mutex // guards cached; never held across I/O
	cached []*dataKey // used last comes last; at most maxCachedKeys
}

// newKeyring returns the keyring for opts.Key; nil if there is none.
func newKeyring(dir string, opts *Options) (*keyring, error) {
	if opts.Key == nil {
		return nil, nil
	}
	if len(opts.Key) != KeySize {
		return nil, fmt.Errorf("the master key has %d bytes, not %d", len(opts.Key), KeySize)
	}
	master, err := newAEAD(opts.Key)
	if err != nil {
		return nil, err
	}
	owner := binary.LittleEndian.AppendUint32(slices.Clone(opts.Partition[:]), opts.LogID)
	return &keyring{fs: opts.Files.FS(), dir: dir, owner: owner, master: master}, nil
}

// newAEAD is AES-256-GCM that puts a random nonce before what it encrypts.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// create makes a data key for the segment that begins at base, in place of the one that is there, and writes its file. The
// contents are durable when it returns, the name is not. On an error no file is left.
func (k *keyring) create(base Position) (*dataKey, error) {
	plain := make([]byte, KeySize)
	key := &dataKey{base: base}
	for _, b := range [][]byte{plain, key.id[:]} {
		if _, err := rand.Read(b); err != nil {
			return nil, fmt.Errorf("making a data key: %w", err)
		}
	}
	var err error
	if key.aead, err = newAEAD(plain); err != nil {
		return nil, fmt.Errorf("making a data key: %w", err)
	}
	name := keyName(k.dir, base)
	if err := writeSmall(k.fs, name, k.wrap(key.id, plain)); err != nil {
		if undo := k.fs.Remove(name); undo != nil && !isNotExist(undo) {
			err = errors.Join(err, undo)
		}
		return nil, fmt.Errorf("writing a data key: %w", err)
	}
	k.put(key)
	return key, nil
}

// wrap encodes the file of a data key.
func (k *keyring) wrap(id keyID, plain []byte) []byte {
	b := append(make([]byte, 0, keyFileSize), 'T', 'K', keyFileSize, keyFileVersion)
	b = append(b, id[:]...)
	b = k.master.Seal(b, nil, plain, k.wrappedFor(id))
	return binary.LittleEndian.AppendUint32(b, batch.Checksum(b))
}

// wrappedFor is what the wrapping of a data key is bound to.
func (k *keyring) wrappedFor(id keyID) []byte { return append(slices.Clone(k.owner), id[:]...) }

// load reads the data key of the segment that begins at base from its file. That the file is missing or damaged is a
// *CorruptError.
func (k *keyring) load(base Position) (*dataKey, error) {
	name := keyName(k.dir, base)
	contents, err := readSmall(k.fs, name, maxKeyFileSize+1)
	if isNotExist(err) {
		return nil, &CorruptError{File: name, Err: fmt.Errorf("the key file is missing: %w", err)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading a data key: %w", err)
	}
	key, err := k.unwrap(contents)
	if errors.Is(err, batch.ErrCorrupt) {
		return nil, &CorruptError{File: name, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	key.base = base
	k.put(key)
	return key, nil
}

// unwrap decodes the contents of a key file. Damage shows in the CRC, so a whole file that does not open was wrapped by
// another master key.
func (k *keyring) unwrap(b []byte) (*dataKey, error) {
	if len(b) < keyAtID+4 || len(b) != int(b[2]) || b[0] != 'T' || b[1] != 'K' {
		return nil, fmt.Errorf("key file: %w: %d bytes without the form of one", batch.ErrCorrupt, len(b))
	}
	if got, want := batch.Checksum(b[:len(b)-4]), binary.LittleEndian.Uint32(b[len(b)-4:]); got != want {
		return nil, fmt.Errorf("key file: %w: crc is %08x, file says %08x", batch.ErrCorrupt, got, want)
	}
	if version := b[3]; version != keyFileVersion {
		return nil, fmt.Errorf("key file: %w: version %d, this program knows %d", ErrNewer, version, keyFileVersion)
	}
	if len(b) != keyFileSize {
		return nil, fmt.Errorf("key file: %w: %d bytes, not %d", batch.ErrCorrupt, len(b), keyFileSize)
	}
	key := &dataKey{id: keyID(b[keyAtID:keyAtWrapped])}
	plain, err := k.master.Open(nil, nil, b[keyAtWrapped:keyAtCRC], k.wrappedFor(key.id))
	if err != nil {
		return nil, ErrWrongKey
	}
	key.aead, err = newAEAD(plain)
	return key, err
}

// find returns the data key with that id of the segment that begins at base, read from its file unless it is in memory.
func (k *keyring) find(base Position, id keyID) (*dataKey, error) {
	if key := k.get(base); key != nil && key.id == id {
		return key, nil
	}
	key, err := k.load(base)
	if err == nil && key.id != id {
		err = &CorruptError{File: keyName(k.dir, base), Err: fmt.Errorf("it holds key %x, and a value was encrypted with key %x", key.id, id)}
	}
	return key, err
}

// get returns the data key of the segment that begins at base if it is in memory, else nil.
func (k *keyring) get(base Position) *dataKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.cached, func(key *dataKey) bool { return key.base == base })
	if i < 0 {
		return nil
	}
	key := k.cached[i]
	k.cached = append(slices.Delete(k.cached, i, i+1), key)
	return key
}

// put keeps the key in memory, instead of the one of the same base, and forgets the one used least recently if there are
// too many.
func (k *keyring) put(key *dataKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cached = slices.DeleteFunc(k.cached, func(other *dataKey) bool { return other.base == key.base })
	if len(k.cached) == maxCachedKeys {
		k.cached = slices.Delete(k.cached, 0, 1)
	}
	k.cached = append(k.cached, key)
}

// drop forgets the data key of the segment that begins at base.
func (k *keyring) drop(base Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cached = slices.DeleteFunc(k.cached, func(key *dataKey) bool { return key.base == base })
}

// keyed sees that the active segment has a data key if the log has a master key. It is false if another segment has to be
// begun for that: the key file is missing or cannot be read, and a second key for the segment would take its place for
// good. The caller holds l.writing.
func (l *Log) keyed() (bool, error) {
	a := l.active
	if l.keys == nil || a.key != nil {
		return true, nil
	}
	key, err := l.keys.load(a.base)
	switch {
	case err == nil && a.end == a.base && !mutant("commitlog-key-unsynced"): // it may not be durable: nothing was written with it
		return l.rekeyed(a)
	case err == nil:
		a.key = key
		return true, nil
	case errors.Is(err, ErrWrongKey), errors.Is(err, ErrNewer):
		return false, err
	case a.end != a.base:
		return false, nil
	}
	return l.rekeyed(a)
}

// rekeyed gives a segment that holds nothing a new data key.
func (l *Log) rekeyed(a *activeSegment) (_ bool, err error) {
	a.key, err = l.newKey(a.base)
	return err == nil, err
}

// newKey makes the data key of the segment that begins at base, durably; nil if the log has no master key. The caller holds
// l.writing.
func (l *Log) newKey(base Position) (*dataKey, error) {
	if l.keys == nil {
		return nil, nil
	}
	key, err := l.keys.create(base)
	if err != nil {
		return nil, err
	}
	if err := l.FS().SyncDir(l.dir); err != nil {
		return nil, l.fail(fmt.Errorf("writing a data key: %w", err))
	}
	return key, nil
}

// removeKey removes the key file of a segment that was removed, unless another generation of the segment is there.
func (l *Log) removeKey(s *segment) (removed bool, err error) {
	l.mu.Lock()
	needed := slices.ContainsFunc(l.segments, func(other *segment) bool { return other.base == s.base })
	l.mu.Unlock()
	if needed {
		return false, nil
	}
	if l.keys != nil {
		l.keys.drop(s.base)
	}
	err = l.FS().Remove(keyName(l.dir, s.base))
	if isNotExist(err) {
		return false, nil
	}
	return err == nil, err
}

// removeStrayKeys removes key files whose segments lay outside the log when they were removed, or never held anything. The
// key of a segment that is missing although the log goes on behind it is left alone: the segment may come back.
func (l *Log) removeStrayKeys(keys map[Position]string, report *Report) error {
	for _, s := range l.segments {
		delete(keys, s.base)
	}
	synced := mutant("commitlog-stray-key-first")
	for base, name := range keys {
		inside := len(l.segments) > 0 && l.segments[0].base.Before(base) && base.Before(l.end)
		lost := report.Lost != nil && !base.Before(report.Lost.From) && base.Before(report.Lost.To)
		if inside || lost {
			report.Unknown = append(report.Unknown, name)
			continue
		}
		if !synced { // its segment is to stay away
			if err := l.FS().SyncDir(l.dir); err != nil {
				return err
			}
			synced = true
		}
		if err := l.FS().Remove(name); err != nil {
			return err
		}
		report.Removed = append(report.Removed, name)
	}
	return nil
}
