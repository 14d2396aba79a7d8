/** Numbers as the page writes them. */

import type { Column } from "./data/contract";

const MINUS = "\u2212";
export const UNKNOWN = "\u2013";

/** Three significant digits, no exponent where one can do without. */
export function plain(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return signed(value.toExponential(1));
  if (Number.isInteger(value)) return signed(String(value));
  return signed(size >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
}

/** A share of 1 in percent; what is not nothing is not called 0 %, and what is not everything not 100 %. */
export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const hundredths = value * 100;
  if (hundredths > 0 && hundredths < 0.1) return "<\u20090.1\u2009%";
  if (hundredths < 100 && hundredths > 99.9) return ">\u200999.9\u2009%";
  const digits = (hundredths < 10 || (hundredths > 99 && hundredths < 100)) && !Number.isInteger(hundredths) ? 1 : 0;
  return `${hundredths.toFixed(digits)}\u2009%`;
}

/** A probability in percent; what has been rounded to certainty is not called so. */
export function probability(value: number | null | undefined): string {
  return value !== null && value !== undefined && value >= 0.9995 ? ">\u200999.9\u2009%" : percent(value);
}

export function formatted(kind: Column["kind"], value: number | null | undefined): string {
  if (kind === "share") return percent(value);
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (kind === "ratio") return `${signed(value.toFixed(Math.abs(value) < 10 ? 2 : 1))}\u00d7`;
  if (kind === "correlation") return signed(value.toFixed(2));
  if (kind === "rank" || kind === "count") return signed(String(Math.round(value)));
  return plain(value);
}

/** 1,234,567 as 1.23 M. */
export function big(value: number | null): string {
  if (value === null) return UNKNOWN;
  for (const [size, letter] of [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    // What is rounded up to 1000 k is 1 M.
    if (value >= 0.9995 * size) return `${Number((value / size).toPrecision(3))}\u2009${letter}`;
  }
  return String(value);
}

function signed(text: string): string {
  // A negative number that rounds to nothing has no sign.
  return text.replace(/^-(0(\.0+)?)$/, "$1").replaceAll("-", MINUS);
}
