import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { crc32c, scan } from "./segment.mjs";

const golden = new URL("../../../commitlog/testdata/v1/", import.meta.url);

function segments(log) {
  const folder = new URL(`${log}/`, golden);
  return readdirSync(folder).filter((name) => name.endsWith(".seg")).sort().map((name) => readFileSync(new URL(name, folder)));
}

test("crc32c of the nine digits is what everybody has", () => {
  assert.equal(crc32c(Buffer.from("1234"), Buffer.from("56789")), 0xe3069283);
});

test("a sealed and an active segment are sound to their ends", () => {
  for (const file of segments("sealed-and-active")) {
    assert.deepEqual(scan(file), { end: file.length, why: "", damaged: false });
  }
});

test("zeros end the file", () => {
  const [file] = segments("zeros");
  const { end, damaged } = scan(file);
  assert.equal(damaged, false);
  assert.equal(end, file.length - 4096);
  file[end + 100] = 1;
  assert.equal(scan(file).damaged, true, "something after zeros");
});

test("a file may be cut anywhere", () => {
  const [file] = segments("zeros");
  const { end } = scan(file);
  for (let size = 0; size < end; size++) {
    const { damaged, end: cut } = scan(file.subarray(0, size));
    assert.ok(!damaged && cut <= size, `cut to ${size} bytes`);
  }
});

test("nothing may follow the footer", () => {
  const [sealed, active] = segments("sealed-and-active");
  assert.deepEqual(scan(Buffer.concat([sealed, active])).damaged, true);
});

test("a batch that is missing as a whole is found", () => {
  const [sealed] = segments("sealed-and-active");
  const from = 75, to = 75 + 5 + (sealed[76] & 0x7f); // the first batch, whose length takes seven bits
  const without = Buffer.concat([sealed.subarray(0, from), sealed.subarray(to)]);
  assert.match(scan(without).why, /digest/);
});

test("every flipped byte is found", () => {
  const [sealed] = segments("sealed-and-active");
  const [active] = segments("zeros");
  for (const file of [active.subarray(0, scan(active).end), sealed]) {
    for (let at = 0; at < file.length; at++) {
      for (const flip of [1 << at % 8, 0xff]) {
        file[at] ^= flip;
        const { end, why, damaged } = scan(file);
        const inFooterLength = file === sealed && end === file.length - 74 && at < end + 5; // may look like a torn footer
        assert.ok(why !== "" && end <= at && (damaged || inFooterLength), `byte ${at} flipped by ${flip}`);
        file[at] ^= flip;
      }
    }
  }
});
