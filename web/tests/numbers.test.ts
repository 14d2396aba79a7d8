/** Numbers as the page writes them. */

import { describe, expect, test } from "vitest";
import { big, formatted, percent, plain, probability } from "../src/numbers";

const THIN = "\u2009";
/** What a reader would take the text for. */
const read = (text: string) => Number(text.replaceAll("\u2212", "-").replace(/[\u2009%<>×]/g, ""));

test("something is never called 0 %, and not everything never 100 %", () => {
  for (let exponent = 0; exponent < 12; exponent++)
    for (let digit = 1; digit < 10; digit++) {
      const little = digit * 10 ** -exponent;
      if (little >= 1) continue;
      expect(percent(little), String(little)).not.toMatch(/^0(\.0)?\u2009%$/);
      expect(percent(1 - little), String(1 - little)).not.toMatch(/^100(\.0)?\u2009%$/);
    }
  expect(percent(0)).toBe(`0${THIN}%`);
  expect(percent(1)).toBe(`100${THIN}%`);
  expect(percent(0.0004)).toBe(`<${THIN}0.1${THIN}%`);
  expect(percent(0.9996)).toBe(`>${THIN}99.9${THIN}%`);
  expect(percent(0.9965)).toBe(`99.7${THIN}%`);
});

test("a share is rounded by less than half a percent", () => {
  for (let thousandths = 0; thousandths <= 1000; thousandths++)
    expect(Math.abs(read(percent(thousandths / 1000)) - thousandths / 10)).toBeLessThanOrEqual(0.5 + 1e-9);
});

test("a probability of 0.9997 is not called certain", () => {
  expect(probability(0.9997)).toBe(`>${THIN}99.9${THIN}%`);
  expect(probability(1)).toBe(`>${THIN}99.9${THIN}%`);
  expect(probability(0.5)).toBe(`50${THIN}%`);
});

test("a number keeps three digits, and every minus is one", () => {
  for (const value of [1.23456, -1.23456, 0.00123456, 123456, -98765, 1.5e9, -2.5e-7, 0.999999, 999.96, 3]) {
    const text = plain(value);
    expect(Math.abs(read(text) - value), text).toBeLessThanOrEqual(0.05 * Math.abs(value));
    expect(text, "a hyphen is no minus").not.toContain("-");
  }
  expect(plain(-2)).toBe("\u22122");
  expect(plain(0)).toBe("0");
});

describe("the unknown is a dash, whatever its kind", () => {
  test.each(["number", "share", "ratio", "rank", "count", "correlation"] as const)("%s", (kind) => {
    for (const unknown of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY])
      expect(formatted(kind, unknown)).toBe("\u2013");
  });
});

test("kinds of numbers have their units", () => {
  expect(formatted("ratio", 2.345)).toBe("2.35×");
  expect(formatted("ratio", 23.45)).toMatch(/^23\.[45]×$/);
  expect(formatted("correlation", -0.25)).toBe("\u22120.25");
  expect(formatted("correlation", -0.001), "nothing has no sign").toBe("0.00");
  expect(formatted("rank", 3)).toBe("3");
  expect(formatted("share", 0.25)).toBe(`25${THIN}%`);
});

test("large counts are shortened by a letter, and grow with what they count", () => {
  expect([0, 12, 999, 1000, 1234, 1_234_567, 7.2e9, 3e12].map(big)).toEqual([
    "0", "12", "999", `1${THIN}k`, `1.23${THIN}k`, `1.23${THIN}M`, `7.2${THIN}G`, `3${THIN}T`,
  ]);
  expect(big(999_999)).toBe(`1${THIN}M`);
  expect(big(null)).toBe("\u2013");
});
