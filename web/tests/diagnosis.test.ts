/** A diagnosis: who is related to whom, and members of a family that do not lie on each other. */

import { expect, test } from "vitest";
import type { Diagnosis, FindingInfo, LayerInfo, RelationInfo } from "../src/data/contract";
import { findingsOf, movedApart, points, relatedTo, tie, valueText } from "../src/data/diagnosis";

const relation = (unit: number, other: number, kind: string, more: Partial<RelationInfo> = {}): RelationInfo => ({
  layer: 1, unit, other, kind, similarity: 0.9, scale: null, angle: null, mirrored: null, dy: null, dx: null, p: null, ...more,
});
const finding = (unit: number | null, more: Partial<FindingInfo> = {}): FindingInfo => ({
  layer: 1, unit, value: 0.5, low: null, high: null, evidence: "", ...more,
});
const layer = { id: 1, name: "b" } as LayerInfo;
const diagnosis: Diagnosis = {
  verdicts: [
    { kind: "equal", level: "warning", claim: "", number: "filters", command: "", findings: [finding(4)] },
    { kind: "families", level: "note", claim: "", number: "layers", command: "", findings: [finding(null), finding(null, { layer: 0 })] },
  ],
  spectra: [], probes: [], blocks: [],
  relations: [
    relation(4, 2, "equal", { scale: 1 }),
    relation(5, 6, "near", { scale: 2 }),
    relation(6, 5, "near", { scale: 0.5 }),
    relation(7, 8, "rotated", { angle: 90 }),
    relation(8, 7, "rotated", { angle: 270 }),
    relation(4, 2, "equal", { layer: 0 }),
  ],
  families: [{ layer: 1, unit: 8, members: [{ unit: 8, angle: 0, mirrored: false }, { unit: 7, angle: 90, mirrored: false }] }],
};

test("a filter has its own findings, a layer those of the whole", () => {
  expect(findingsOf(diagnosis, layer, 4).map((one) => one.verdict.kind)).toEqual(["equal"]);
  expect(findingsOf(diagnosis, layer, null).map((one) => one.verdict.kind)).toEqual(["families"]);
  expect(findingsOf(diagnosis, layer, 2)).toEqual([]);
});

test("a pair is shown from both ends, and once each", () => {
  const pairs = (unit: number) => relatedTo(diagnosis, layer, unit).map((one) => [one.other, one.relation.unit]);
  // Unit 2 is not said to equal 4, but 4 to equal 2.
  expect(pairs(4)).toEqual([[2, 4]]);
  expect(pairs(2)).toEqual([[4, 4]]);
  expect(pairs(5)).toEqual([[6, 5]]);
  expect(pairs(6)).toEqual([[5, 6]]);
});

test("a copy is told as what becomes of the filter that is shown", () => {
  expect(relatedTo(diagnosis, layer, 8).map((one) => [one.other, one.relation.angle])).toEqual([[7, 90]]);
  const [family] = diagnosis.families;
  expect(family && tie(diagnosis, family, 7)?.angle).toBe(90);
  expect(family && tie(diagnosis, family, 8)).toBeNull();
});

test.each([
  [[0, 0, 0], 50],
  [[0, 350, 10, 180], 40],
  [[350, 5, 355], 30],
  [[90], 50],
  [Array.from({ length: 12 }, (_, place) => (place * 7) % 30), 30],
  [Array.from({ length: 20 }, () => 45), 30],
])("members at %j stand %d degrees apart, in their order, as far as there is room", (angles, apart) => {
  const moved = movedApart(angles, apart);
  const sorted = moved.map((angle) => ((angle % 360) + 360) % 360).sort((one, other) => one - other);
  const room = Math.min(apart, 360 / angles.length);
  sorted.forEach((angle, place) => {
    const next = sorted[place + 1] ?? (sorted[0] ?? 0) + 360;
    if (angles.length > 1) expect(next - angle).toBeGreaterThan(room - 0.5);
  });
  angles.forEach((angle, place) =>
    angles.forEach((other, at) => angle < other && expect(moved[place]).toBeLessThan(moved[at] ?? 0)),
  );
});

test("members that have room stay where they are", () => {
  expect(movedApart([0, 90, 200], 60)).toEqual([0, 90, 200]);
});

test("numbers say what they are", () => {
  expect(valueText(diagnosis, "never fired", finding(1, { value: 0, high: 0.0006 }))).toBe("<\u20090.06\u2009%");
  expect(valueText(diagnosis, "near", finding(1, { value: 0.954 }))).toBe("0.95");
  expect(valueText(diagnosis, "equal", finding(1, { value: 1 }))).toBe("");
  expect(valueText(diagnosis, "a kind of later", finding(1, { value: 0.25 }))).toBe("25\u2009%");
  expect(points(-0.064)).toBe("\u22126.4");
  expect(points(0.012)).toBe("+1.2");
  expect(points(null)).toBe("\u2013");
});
