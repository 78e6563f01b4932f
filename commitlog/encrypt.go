package commitlog

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/trestlehq/trestle/proto/batch"
)

// Errors of encrypted values. A key file that is missing or damaged, and a value that is, are a *CorruptError that names
// the file.
var (
	// ErrNoKey means that values are encrypted and the log was opened without a master key.
	ErrNoKey = errors.New("values are encrypted and there is no master key; start with the key that they were written with")
	// ErrWrongKey means that the master key is not the one that a data key was wrapped with.
	ErrWrongKey = errors.New("the data key was not wrapped with this master key for this log; start with the key that it was written with")
)

// An encrypted value is a version byte, the id of the data key, and what AES-256-GCM makes of the value with a random
// nonce: nonce, ciphertext, tag.
const (
	valueVersion  = 1
	valueAtSealed = 1 + len(keyID{})
	valueOverhead = valueAtSealed + 12 + 16
)

// Numbers of the fields of Records and Record that are looked at here.
const (
	fieldRecord = 1 // of Records
	fieldKey    = 1 // of Record
	fieldValue  = 2 // of Record
)

// isEncrypted says whether the values of a batch are encrypted.
func isEncrypted(h *batch.Header) bool { return h.Attributes&batch.Encrypted != 0 }

// plain returns the batch b, which gave h, unpacked and decrypted: b itself if it is neither packed nor encrypted, else a
// copy that is put into dst if it fits there.
func (l *Log) plain(dst []byte, h *batch.Header, b []byte) ([]byte, error) {
	if !isEncrypted(h) {
		return Unpack(dst, h, b, l.opts.Codec)
	}
	if h.Body != batch.BodyPacked {
		return l.Decrypt(dst, h, b)
	}
	b, err := Unpack(nil, h, b, l.opts.Codec)
	if err != nil {
		return nil, err
	}
	unpacked, err := batch.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	return l.Decrypt(dst, &unpacked, b)
}

// Decrypt returns the batch b, which gave h, with its values as they were before they were encrypted: b itself if they are
// not, else a copy in the memory behind what dst holds, with the same place in the log. It must not be packed, and must not share memory
// with dst. Without a master key it fails with ErrNoKey, with another one than the values were written with, with
// ErrWrongKey; what is damaged is a *CorruptError, what was deleted meanwhile a *RangeError. Nothing else of the log is
// the worse for it.
func (l *Log) Decrypt(dst []byte, h *batch.Header, b []byte) ([]byte, error) {
	if !isEncrypted(h) {
		return b[:h.Size], nil
	}
	if l.keys == nil {
		return nil, fmt.Errorf("offset %d: %w", h.BaseOffset, ErrNoKey)
	}
	if h.Body != batch.BodyRecords {
		return nil, fmt.Errorf("offset %d: decrypting: %w: body field %d is not records", h.BaseOffset, batch.ErrCorrupt, h.Body)
	}
	s, err := l.segmentOf(h)
	if err != nil {
		return nil, err
	}
	o := opener{keys: l.keys, base: s.base, bound: slices.Clone(l.keys.owner)}
	c := valueChange{grows: -valueOverhead, change: o.open}
	plain, err := c.batch(dst, h, b, h.Attributes&^batch.Encrypted)
	if err != nil {
		return nil, l.undecryptable(s, h, err)
	}
	return plain[len(dst):], nil
}

// undecryptable says why a batch in the segment could not be decrypted.
func (l *Log) undecryptable(s *segment, h *batch.Header, err error) error {
	if isNotExist(err) { // retention and truncation take the key with the segment
		l.mu.Lock()
		gone := !slices.ContainsFunc(l.segments, func(other *segment) bool { return other.base == s.base })
		if gone {
			err = l.rangeErrorLocked(h.BaseOffset)
		}
		l.mu.Unlock()
		if gone {
			return err
		}
	}
	err = fmt.Errorf("decrypting the batch at offset %d: %w", h.BaseOffset, err)
	if IsDamage(err) || !errors.Is(err, batch.ErrCorrupt) {
		return err
	}
	f, searchErr := l.searchSegment(s, func(other *batch.Header) bool { return other.Seq >= h.Seq })
	return &CorruptError{File: s.name, Position: f.position, Err: errors.Join(err, searchErr)}
}

// segmentOf is the segment that holds the batch with that header.
func (l *Log) segmentOf(h *batch.Header) (*segment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].base.Seq > h.Seq })
	if i == 0 || h.Seq >= l.end.Seq {
		return nil, l.rangeErrorLocked(h.BaseOffset)
	}
	return l.segments[i-1], nil
}

// opener decrypts the values of a batch.
type opener struct {
	keys  *keyring
	base  Position // of the segment
	key   *dataKey // of the value before; nil: there was none
	bound []byte   // the keyring's owner, followed by the key of the record
}

func (o *opener) open(dst, key, value []byte) ([]byte, error) {
	if value[0] != valueVersion {
		return dst, fmt.Errorf("value: %w: version %d, this program knows %d", ErrNewer, value[0], valueVersion)
	}
	if id := keyID(value[1:valueAtSealed]); o.key == nil || o.key.id != id {
		var err error
		if o.key, err = o.keys.find(o.base, id); err != nil {
			return dst, err
		}
	}
	o.bound = append(o.bound[:len(o.keys.owner)], key...)
	plain, err := o.key.aead.Open(dst, nil, value[valueAtSealed:], o.bound)
	if err != nil {
		return dst, fmt.Errorf("value: %w: it was not encrypted with this data key for this key of this log", batch.ErrCorrupt)
	}
	return plain, nil
}

// sealer encrypts values with a data key.
type sealer struct {
	key   *dataKey
	owner int    // length of the keyring's owner
	bound []byte // that, followed by the key of the record
}

func (s *sealer) seal(dst, key, value []byte) ([]byte, error) {
	s.bound = append(s.bound[:s.owner], key...)
	dst = append(dst, valueVersion)
	dst = append(dst, s.key.id[:]...)
	return s.key.aead.Seal(dst, nil, value, s.bound), nil
}

// encryptable returns batches that are to be encrypted as they are to be given to encrypted, unpacked, and the bytes that
// they will have together.
func (l *Log) encryptable(batches [][]byte) (plain [][]byte, size int, err error) {
	plain = make([][]byte, len(batches))
	for i, b := range batches {
		var n int
		if plain[i], n, err = encryptable(b, l.opts.Codec); err != nil {
			return nil, 0, fmt.Errorf("not appended: encrypting: %w", err)
		}
		size += n
	}
	return plain, size, nil
}

// encryptable checks a batch before its body CRC is made anew.
func encryptable(b []byte, codec Codec) (plain []byte, size int, err error) {
	h, err := batch.Parse(b)
	if err != nil {
		return nil, 0, err
	}
	if h.Size != len(b) {
		return nil, 0, fmt.Errorf("%w: %d bytes hold a batch of %d", batch.ErrCorrupt, len(b), h.Size)
	}
	if h.Control() {
		return b, len(b), nil
	}
	if isEncrypted(&h) {
		return nil, 0, errors.New("the batch is marked as encrypted already; append it with plain values")
	}
	if plain, err = Unpack(nil, &h, b, codec); err != nil {
		return nil, 0, err
	}
	if h, err = batch.ParseHeader(plain); err != nil {
		return nil, 0, err
	}
	c := valueChange{grows: valueOverhead}
	body, err := c.size(h.BodyOf(plain))
	if err != nil {
		return nil, 0, err
	}
	if size = batch.HeaderSize + body; size > batch.MaxSize {
		return nil, 0, fmt.Errorf("batch of %d bytes with its values encrypted: the largest is %d; append fewer records at once", size, batch.MaxSize)
	}
	return plain, size, nil
}

// encrypted returns what encryptable returned with the values encrypted, if the log has a master key: then the active
// segment has a data key. It is valid until the next call. The caller holds l.writing.
func (l *Log) encrypted(batches [][]byte) ([][]byte, error) {
	if l.keys == nil {
		return batches, nil
	}
	owner := l.keys.owner
	s := sealer{key: l.active.key, owner: len(owner), bound: slices.Clone(owner)}
	c := valueChange{grows: valueOverhead, change: s.seal}
	stored := make([][]byte, len(batches))
	l.sealed = l.sealed[:0]
	for i, b := range batches {
		h, err := batch.ParseHeader(b)
		if err != nil {
			return nil, err
		}
		start := len(l.sealed)
		if h.Control() {
			l.sealed = append(l.sealed, b...)
		} else if l.sealed, err = c.batch(l.sealed, &h, b, h.Attributes|batch.Encrypted); err != nil {
			return nil, fmt.Errorf("not appended: encrypting: %w", err)
		}
		stored[i] = l.sealed[start:len(l.sealed):len(l.sealed)]
	}
	return stored, nil
}
