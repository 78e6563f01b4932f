// Prints a segment file of Trestle, one JSON object a line for each record and each control batch.
//
//   node read.mjs FILE              what the file holds
//   node read.mjs --reencode FILE   the decoded message encoded again, as every protobuf library would

import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { decompress } from "fzstd";
import { BatchesSchema, ControlSchema, RecordsSchema } from "./gen/trestle/v1/log_pb.js";
import { scan } from "./segment.mjs";

// Bits of Batch.attributes.
const CODEC = 0b11, ZSTD = 1, ENCRYPTED = 1 << 6, MUST_UNDERSTAND = 0xff000000;

function* lines({ batches }) {
  for (const batch of batches) {
    if (batch.attributes & MUST_UNDERSTAND) throw new Error(`batch ${batch.seq} is of a later version than this reader`);
    for (const object of batch.body.case === "control" ? [control(batch)] : records(batch)) {
      yield JSON.stringify(object, (_, v) => (typeof v === "bigint" ? v.toString() : v)) + "\n";
    }
  }
}

function control({ seq, baseOffset, time, body }) {
  return { seq, offset: baseOffset, time: timestamp(time), control: toJson(ControlSchema, body.value) };
}

function* records(batch) {
  const { records, offsetDeltas, subject, reply } = unpacked(batch);
  for (const [i, record] of records.entries()) {
    yield {
      offset: batch.baseOffset + BigInt(offsetDeltas.length > 0 ? offsetDeltas[i] : i),
      time: timestamp(batch.time),
      ...text("subject", [record.subject, subject].find(named)),
      ...text("reply", [record.reply, reply].find(named)),
      ...text("key", record.key),
      ...text("value", record.value),
      headers: record.headers.map(({ name, value }) => ({ ...text("name", name), ...text("value", value) })),
      tombstone: record.tombstone || undefined,
      schema_id: record.schemaId || undefined,
      encrypted: (batch.attributes & ENCRYPTED) !== 0 || undefined,
    };
  }
}

function named(bytes) {
  return bytes.length > 0;
}

function unpacked({ seq, attributes, body }) {
  switch (attributes & CODEC) {
    case 0:
      return body.value;
    case ZSTD:
      return fromBinary(RecordsSchema, decompress(body.value));
    default:
      throw new Error(`batch ${seq} has a codec that this reader does not know`);
  }
}

/** Bytes as text under their name, or in base64 if they are not UTF-8; nothing if they are absent. */
function text(name, bytes) {
  if (bytes === undefined) return {};
  try {
    return { [name]: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { [`${name}_base64`]: Buffer.from(bytes).toString("base64") };
  }
}

/** Unix nanoseconds as RFC 3339. */
function timestamp(nanoseconds) {
  const seconds = nanoseconds / 1_000_000_000n, rest = nanoseconds % 1_000_000_000n;
  return new Date(Number(seconds) * 1000).toISOString().replace("000Z", rest.toString().padStart(9, "0") + "Z");
}

const { values: options, positionals } = parseArgs({ options: { reencode: { type: "boolean" } }, allowPositionals: true });
if (positionals.length !== 1) {
  console.error("usage: node read.mjs [--reencode] FILE");
  process.exit(2);
}
const file = readFileSync(positionals[0]);
const { end, why, damaged } = scan(file);
if (why !== "") console.error(`${positionals[0]}: stopped at byte ${end} of ${file.length}: ${why}`);
if (damaged) process.exitCode = 1;
const message = fromBinary(BatchesSchema, file.subarray(0, end));
const output = options.reencode ? [Buffer.from(toBinary(BatchesSchema, message))] : lines(message);
try {
  await pipeline(Readable.from(output), process.stdout);
} catch (error) {
  if (error.code !== "EPIPE") throw error; // whoever reads it has seen enough
}
