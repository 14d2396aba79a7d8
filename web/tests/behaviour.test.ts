/** Tuning curves unpacked for one unit, shares in words. The oracle writes bytes and words by hand. */

import { expect, test } from "vitest";
import { isSilent, unitCurves } from "../src/data/behaviour";
import type { TuningCurves, TuningData } from "../src/data/contract";
import { compoundName, shareText, sharesText } from "../src/data/functions";
import { preferredText } from "../src/parts/tuning";
import { hueColour } from "../src/pictures/tuning_plot";
import { en } from "../src/words/en";
import { zh } from "../src/words/zh";
import { dice } from "./made";

function packed(rows: number[][]): string {
  return btoa(String.fromCharCode(...rows.flat().map((value) => value & 255)));
}

function curves(rows: number[][], some: Partial<TuningCurves> = {}): TuningCurves {
  const none = rows.map(() => null);
  return {
    of: "orientation", sets: [(rows[0] ?? []).map((_, place) => place * 10)], which: rows.map(() => 0), largest: rows.map(() => 4),
    responses: packed(rows), preferred: none, selectivity: none, status: "c".repeat(rows.length), ...some,
  };
}

function tuning(...all: TuningCurves[]): TuningData {
  const units = all[0]?.status.length ?? 0;
  return { noise: Array(units).fill(1), best: Array(units).fill(8), curves: all };
}

test.each([1, 2, 3, 4, 5, 12])("responses of every unit come out of the middle of the packed bytes: %d values", (count) => {
  const random = dice(count);
  const rows = Array.from({ length: 11 }, () => Array.from({ length: count }, () => Math.round(random() * 254) - 127));
  const data = tuning(curves(rows));
  rows.forEach((row, place) => {
    const found = unitCurves(data, place).get("orientation");
    expect(found?.values).toEqual(row.map((_, at) => at * 10));
    // 127 stands for 4, and all are told by the unit's best of 8.
    found?.responses.forEach((response, at) => expect(response).toBeCloseTo(((row[at] ?? 0) * 4) / 127 / 8, 10));
  });
});

test("units may run over other and fewer values than the rest", () => {
  const shorter = curves([[127, 64, 0], [-127, 127, 0]], { sets: [[1, 2, 4], [8, 16]], which: [0, 1] });
  const found = unitCurves(tuning(shorter), 1).get("orientation");
  expect(found?.values).toEqual([8, 16]);
  expect(found?.responses).toEqual([-0.5, 0.5]);
});

test("what is not known of a unit is not among its curves", () => {
  const data = tuning(curves([[1], [2], [3]], { which: [0, null, 0], status: "c-?" }));
  expect([0, 1, 2].map((place) => unitCurves(data, place).size)).toEqual([1, 0, 0]);
});

test("a unit is silent where all of its curves are", () => {
  const data = tuning(curves([[0], [0]], { status: "ss" }), curves([[0], [9]], { of: "hue", status: "sc" }));
  expect([0, 1].map((place) => isSilent(unitCurves(data, place)))).toEqual([true, false]);
});

test("a unit that no stimulus lifts has responses of zero, not of infinity", () => {
  const data = { ...tuning(curves([[127, -127]])), best: [0] };
  expect(unitCurves(data, 0).get("orientation")?.responses.map(Math.abs)).toEqual([0, 0]);
});

test("preferred values have their units, and names where they are numbers of things", () => {
  const text = (of: string, preferred: number | null) =>
    preferredText({ of, values: [], responses: [], preferred, selectivity: null, status: "clear" }, en);
  expect(text("orientation", 44.6)).toBe("45°");
  expect(text("frequency", 0.125)).toBe("8 px");
  expect(text("curvature", 0.05)).toBe("radius 20 px");
  expect([text("curvature", 0), text("corner", 180), text("corner", 90)]).toEqual(["straight", "straight", "90°"]);
  expect([text("axis", 1), text("texture", 6), text("texture", 99)]).toEqual(["red–green", "checks", "99"]);
  expect(text("hue", null)).toBeNull();
});

test("hues are those that the network is shown: red, green and blue, all as bright", () => {
  [0, 120, 240].forEach((hue, most) => {
    const parts = [...hueColour(hue).matchAll(/\d+/g)].map(Number);
    expect(parts[most]).toBe(255);
    for (const place of [0, 1, 2]) if (place !== most) expect(Math.abs((parts[place] ?? 0) - 64.5)).toBeLessThan(1);
  });
});

test("compound labels are said in the reader's language", () => {
  expect(compoundName("80 % texture + 10 % edge", en)).toBe("80\u2009% texture + 10\u2009% edge");
  expect(compoundName("80 % texture + 10 % edge", zh)).toBe("80\u2009% 纹理 + 10\u2009% 边缘");
  expect(["bag of parts", "mixed", "dead", "something new"].map((label) => compoundName(label, zh))).toEqual([
    "零散部件", "混合", "失活", "something new",
  ]);
});

test("a share says its interval, and what is not applicable is not 0 %", () => {
  const some = { shares: [null, 0.5, 0.5, 0, 0, 0], low: [null, 0.4, 0.45, 0, 0, 0], high: [null, 0.6, 0.55, 0, 0, 0] };
  expect(shareText(some, 0, en)).toBe("not applicable");
  expect(shareText(some, 1, en)).toBe("50\u2009% (40\u2009%–60\u2009%)");
  expect(sharesText(some, en)).toBe("edge 50\u2009% (40\u2009%–60\u2009%), texture 50\u2009% (45\u2009%–55\u2009%)");
});
