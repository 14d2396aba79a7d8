/** Where pictures lie, what class means are, and what a table looks like. */

import { expect, test } from "vitest";
import { classMeans } from "../src/data/atlas";
import type { ClassMeans, PictureSet } from "../src/data/contract";
import { csv } from "../src/pictures/save";
import { type Spot, spot } from "../src/pictures/sheets";
import { stripSize } from "../src/pictures/strip";
import { dice } from "./made";

const SET: PictureSet = { tile: [5, 7], step: [8, 16], columns: 3, perSheet: 6, sheets: ["a", "b", "c"] };

test("pictures are counted off sheet by sheet, row by row", () => {
  // The oracle counts, the code divides.
  const expected: Spot[] = [];
  for (const sheet of SET.sheets)
    for (let top = 0; top < 16; top += 8)
      for (let left = 0; left < 48; left += 16) expected.push({ sheet, left, top, width: 7, height: 5 });
  expect(expected).toHaveLength(18);
  expect(expected.map((_, number) => spot(SET, number))).toEqual(expected);
});

test("a picture before the first or after the last sheet is none", () => {
  expect(spot(SET, -1)).toBeNull();
  expect(spot(SET, 18)).toBeNull();
  expect(spot({ ...SET, sheets: [] }, 0)).toBeNull();
});

test("a strip is as large as its tiles and the gaps between them", () => {
  expect(stripSize(5, 3, 10)).toEqual([3 * 10 + 2 * 2, 2 * 10 + 2]);
  expect(stripSize(2, 3, 10)).toEqual([2 * 10 + 2, 10]);
});

test.each([1, 2, 3, 7, 1000])("class means are read as they were written: %i labels", (labels) => {
  const [units, roll] = [5, dice(labels)];
  const view = new DataView(new ArrayBuffer(2 * units * labels));
  const expected: number[][] = [];
  const offset = Array.from({ length: units }, () => roll() * 10 - 5);
  const scale = Array.from({ length: units }, () => roll() / 1000);
  for (let unit = 0; unit < units; unit++) {
    expected.push([]);
    for (let label = 0; label < labels; label++) {
      const stored = roll() < 0.2 ? -32768 : Math.floor(roll() * 65535) - 32767;
      view.setInt16(2 * (unit * labels + label), stored, true);
      expected[unit]?.push(stored === -32768 ? Number.NaN : (offset[unit] as number) + (scale[unit] as number) * stored);
    }
  }
  const means: ClassMeans = { offset, scale, values: btoa(String.fromCharCode(...new Uint8Array(view.buffer))) };
  expect(expected.map((_, unit) => classMeans(means, unit, labels))).toEqual(expected);
});

/** Read a table again, letter by letter (RFC 4180). */
function table(text: string): string[][] {
  const rows: string[][] = [[""]];
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const [letter, row] = [text[at] as string, rows[rows.length - 1] as string[]];
    const write = (some: string) => (row[row.length - 1] = `${row[row.length - 1]}${some}`);
    if (quoted && letter === '"' && text[at + 1] === '"') write(text[++at] as string);
    else if (letter === '"') quoted = !quoted;
    else if (quoted) write(letter);
    else if (letter === ",") row.push("");
    else if (letter === "\r" && text[at + 1] === "\n") {
      rows.push([""]);
      at++;
    } else write(letter);
  }
  return rows.slice(0, -1);
}

test("a table is read again as it was, whatever its texts hold", () => {
  const odd = ['a "quoted" name', "a, b", "two\nlines", "two\r\nlines", '"', ",", "plain", "树蛙", ""];
  const text = csv(["name", "a,b"], [...odd.map((name) => [name, 1.5]), ["unknown", null], ["small", 1e-7]]);
  expect(table(text)).toEqual([["name", "a,b"], ...odd.map((name) => [name, "1.5"]), ["unknown", ""], ["small", "1e-7"]]);
});
