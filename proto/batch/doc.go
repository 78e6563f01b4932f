// Package batch reads and writes the bytes of a batch: the unit of append, checksum, replication and delivery.
//
// A batch is an element of the protobuf message trestle.v1.Batches, laid out so that everything before the body
// stands at a fixed place. A leader stamps offset, epoch, time and checksums into the bytes that a client sent, and
// a scanner steps from batch to batch without decoding one. Any protobuf decoder reads the same bytes.
//
//	byte  0        1           5           10          15          20          25
//	     ┌────────┬───────────┬───────────┬───────────┬───────────┬───────────┬──────────────┐
//	     │ tag 0A │ length,   │ 0D magic  │ 15 header │ 1D body   │ 25 attri- │ 2D record    │
//	     │        │ 4-byte    │ T R 106 1 │    crc    │    crc    │    butes  │    count     │
//	     │        │ varint    │           │           │           │           │              │
//	     └────────┴───────────┴───────────┴───────────┴───────────┴───────────┴──────────────┘
//	      30             35          44              53               62        71
//	     ┌──────────────┬───────────┬───────────────┬────────────────┬─────────┬─────────────┐
//	     │ 35 last      │ 39 seq    │ 41 base       │ 49 leader      │ 51 time │ 5D previous │
//	     │ offset delta │           │    offset     │    epoch       │         │    crc      │
//	     └──────────────┴───────────┴───────────────┴────────────────┴─────────┴─────────────┘
//	      76             81              90               95               100         106
//	     ┌──────────────┬───────────────┬────────────────┬────────────────┬───────────┬──────┐
//	     │ 65 partition │ 69 producer   │ 75 producer    │ 7D producer    │ body tag, │ body │
//	     │    tag       │    id         │    epoch       │    sequence    │ length    │      │
//	     └──────────────┴───────────────┴────────────────┴────────────────┴───────────┴──────┘
//
// The two hex digits are the one-byte protobuf tag that stands before a field; integers are little endian. Both
// lengths are varints padded to four bytes with continuation bits, which protobuf allows, so the largest batch is
// 2^28-1 bytes. The body tag is 82 01 (Records), 8A 01 (Records after the codec) or 92 01 (Control). The header CRC
// covers bytes 0-9 and 15-105, the body CRC the body; both are CRC-32C.
//
// A header may be longer than 106 bytes: the third byte of the magic is its length, and what stands between the
// fields known here and the body tag is skipped.
//
// Everything that is read aliases the bytes it was read from. Nothing here panics on any input.
package batch
