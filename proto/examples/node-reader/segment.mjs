// How far a segment file is sound: its elements one after the other, each with its CRCs.
//
// Decoding needs none of this. It is what a cautious reader checks before, and what finds the end of a file that is
// still being appended to, which may end in zeros or in a torn batch. The bytes are drawn in commitlog/DESIGN.md.

const BATCH = 0x0a, SEGMENT = 0x12, FOOTER = 0x1a; // tags of the fields of trestle.v1.Batches
const PREFIX = 5; // tag, and length as a varint padded to four bytes

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1;
  return n;
});

/** CRC-32C of the parts, one after the other. */
export function crc32c(...parts) {
  let crc = ~0;
  for (const part of parts) for (const byte of part) crc = table[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** What stands at a place is not what was written there, or was not written to its end. */
class Damage extends Error {}

/** The file ends inside an element: nothing is wrong with what is there. */
class Torn extends Error {}

/**
 * Scans a file, a Buffer, and says where its last sound element ends and why it stopped there: "" at the end of the
 * file. Unless damaged, that is the end of what was written.
 */
export function scan(file) {
  const headerCRCs = []; // of the batches, for the footer's digest
  let end = 0;
  try {
    while (end < file.length) {
      if (file[end] === 0) return zeros(file, end);
      end += element(file.subarray(end), headerCRCs);
    }
    return { end, why: "", damaged: false };
  } catch (error) {
    if (error instanceof Damage || error instanceof Torn) return { end, why: error.message, damaged: error instanceof Damage };
    throw error;
  }
}

function zeros(file, end) {
  const damaged = file.subarray(end).some((byte) => byte !== 0);
  return { end, why: damaged ? "zeros, and something after them" : "zeros to the end of the file", damaged };
}

/** Checks the element at the start of bytes and returns its size. */
function element(bytes, headerCRCs) {
  if (bytes.length < PREFIX) throw new Torn("the file ends inside an element");
  const [tag, a, b, c, d] = bytes;
  if (![BATCH, SEGMENT, FOOTER].includes(tag)) throw new Damage(`no element has tag ${tag}`);
  if (!(a & b & c & 0x80) || d & 0x80) throw new Damage("the length is not padded to four bytes");
  const size = PREFIX + ((a & 0x7f) | ((b & 0x7f) << 7) | ((c & 0x7f) << 14) | (d << 21));
  return tag === BATCH ? batch(bytes, size, headerCRCs) : edge(bytes, tag, size, headerCRCs);
}

/** The header or the footer of the file. Their CRC is the last field and does not cover its own tag. */
function edge(bytes, tag, size, headerCRCs) {
  if (size < (tag === FOOTER ? 74 : 75) || (tag === SEGMENT && size !== (bytes[8] ?? size))) {
    throw new Damage(`an element of ${size} bytes`);
  }
  if (bytes.length < size) throw new Torn(`the file ends inside its ${tag === FOOTER ? "footer" : "header"}`);
  compare("element", crc32c(bytes.subarray(0, size - 4)), bytes.readUInt32LE(size - 4));
  if (tag === FOOTER) {
    if (bytes.length > size) throw new Damage("something follows the footer");
    compare("digest", crc32c(...headerCRCs), bytes.readUInt32LE(60));
  }
  return size;
}

/** The header of a batch ends with the body's tag and length; the magic's third byte says how long it is. */
function batch(bytes, size, headerCRCs) {
  const headerSize = bytes[8] ?? 0;
  if (bytes.length < Math.max(headerSize, 106)) throw new Torn("the file ends inside the header of a batch");
  if (bytes.toString("latin1", 6, 8) !== "TR" || bytes[10] !== 0x15 || headerSize < 106 || size < headerSize) {
    throw new Damage("no batch begins here");
  }
  compare("header", crc32c(bytes.subarray(0, 10), bytes.subarray(15, headerSize)), bytes.readUInt32LE(11));
  if (bytes.length < size) throw new Torn("the file ends inside the body of a batch");
  compare("body", crc32c(bytes.subarray(headerSize, size)), bytes.readUInt32LE(16));
  headerCRCs.push(bytes.subarray(11, 15));
  return size;
}

function compare(what, got, want) {
  if (got !== want) throw new Damage(`${what} crc is ${got.toString(16)}, the file says ${want.toString(16)}`);
}
