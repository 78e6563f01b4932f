package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// An entry of the log lies in the store as
//
//	format u8 = 1 | type u8 | index u64 | term u64 | extension bytes u8 | extension | data
//
// big-endian. The extension is the CRC-32C over (index, term, type, data); it is raft's Log.Extensions, made by the
// leader and sent along, so that it covers an entry from the leader's memory to the follower's disk and back. The time
// at which the leader appended an entry is not kept: nothing may depend on it.
const (
	entryFormat      = 1
	entryHeaderBytes = 1 + 1 + 8 + 8 + 1
	checksumBytes    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entryChecksum computes the extension of an entry.
func entryChecksum(entry *raft.Log) []byte {
	var head [17]byte
	binary.BigEndian.PutUint64(head[:], entry.Index)
	binary.BigEndian.PutUint64(head[8:], entry.Term)
	head[16] = byte(entry.Type)
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, entry.Data)
	return binary.BigEndian.AppendUint32(nil, sum)
}

// verifyEntry compares an entry with the checksum that it carries.
func verifyEntry(entry *raft.Log) error {
	if len(entry.Extensions) != checksumBytes {
		return fmt.Errorf("entry has a checksum of %d bytes instead of %d", len(entry.Extensions), checksumBytes)
	}
	if want := entryChecksum(entry); string(want) != string(entry.Extensions) {
		return fmt.Errorf("checksum mismatch: entry says %x, its content %x", entry.Extensions, want)
	}
	return nil
}

func encodeEntry(entry *raft.Log) []byte {
	buf := make([]byte, 0, entryHeaderBytes+len(entry.Extensions)+len(entry.Data))
	buf = append(buf, entryFormat, byte(entry.Type))
	buf = binary.BigEndian.AppendUint64(buf, entry.Index)
	buf = binary.BigEndian.AppendUint64(buf, entry.Term)
	buf = append(buf, byte(len(entry.Extensions)))
	buf = append(buf, entry.Extensions...)
	return append(buf, entry.Data...)
}

// decodeEntry reads the entry that is stored under an index and verifies it. The entry shares no bytes with buf.
func decodeEntry(index uint64, buf []byte, entry *raft.Log) error {
	if len(buf) < entryHeaderBytes {
		return fmt.Errorf("entry has %d bytes, which is less than its header", len(buf))
	}
	if buf[0] != entryFormat {
		return fmt.Errorf("entry has format %d, this version knows %d", buf[0], entryFormat)
	}
	rest, extension := buf[entryHeaderBytes:], int(buf[entryHeaderBytes-1])
	if len(rest) < extension {
		return errors.New("entry ends within its checksum")
	}
	*entry = raft.Log{
		Type:       raft.LogType(buf[1]),
		Index:      binary.BigEndian.Uint64(buf[2:]),
		Term:       binary.BigEndian.Uint64(buf[10:]),
		Extensions: append([]byte(nil), rest[:extension]...),
		Data:       append([]byte(nil), rest[extension:]...),
	}
	if err := verifyEntry(entry); err != nil {
		return err
	}
	if entry.Index != index {
		return fmt.Errorf("entry %d lies in the place of entry %d", entry.Index, index)
	}
	switch entry.Type {
	case raft.LogCommand, raft.LogNoop, raft.LogBarrier:
		return nil
	case raft.LogConfiguration:
		_, err := decodeConfiguration(entry.Data)
		return err
	case raft.LogAddPeerDeprecated, raft.LogRemovePeerDeprecated:
	}
	return fmt.Errorf("entry has the unknown type %d", entry.Type)
}

// decodeConfiguration is raft.DecodeConfiguration with an error: that function panics on what it cannot read.
func decodeConfiguration(data []byte) (configuration raft.Configuration, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("membership cannot be read: %v", cause)
		}
	}()
	return raft.DecodeConfiguration(data), nil
}
