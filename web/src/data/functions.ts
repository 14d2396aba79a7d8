/** What filters do: the functions, the labels they give, and shares of them in words. */

import { percent } from "../numbers";
import type { Words } from "../words/en";

/** In the order in which shares are written and stacked. */
export const FUNCTIONS = ["colour", "edge", "texture", "part", "whole", "unclassified"] as const;

/** What a filter can be called. */
export const LABELS = [...FUNCTIONS, "bag of parts", "mixed", "dead"] as const;

/** Numbers of a unit that belong to its function: they are shown together. */
export const FUNCTION_NUMBERS: readonly string[] = [...FUNCTIONS, "importance", "selectivity"];

/** Shares with their intervals. */
export interface Shares {
  shares: (number | null)[];
  low: (number | null)[];
  high: (number | null)[];
}

/** As a class of the style sheet: "bag of parts" is "bag-of-parts". */
export function labelClass(label: string): string {
  return label.replaceAll(" ", "-");
}

export function labelName(label: string, words: Words): string {
  return words.functions.names[label] ?? label;
}

/** "80 % texture + 10 % edge" in the reader's language. */
export function compoundName(compound: string, words: Words): string {
  const parts = compound.split(" + ").map((part) => {
    const found = /^(\d+) % (.+)$/.exec(part);
    return found?.[2] ? `${found[1]}\u2009% ${labelName(found[2], words)}` : labelName(part, words);
  });
  return parts.join(" + ");
}

/** "62 % (55–70 %)", or that it is not applicable. */
export function shareText(some: Shares, place: number, words: Words): string {
  const share = some.shares[place] ?? null;
  if (share === null) return words.functions.notApplicable;
  const [low, high] = [some.low[place] ?? null, some.high[place] ?? null];
  return low === null || high === null ? percent(share) : `${percent(share)} (${percent(low)}–${percent(high)})`;
}

/** All that have a share, the first first. */
export function sharesText(some: Shares, words: Words): string {
  return FUNCTIONS.map((name, place) => ({ name, place }))
    .filter(({ place }) => (some.shares[place] ?? 0) > 0)
    .map(({ name, place }) => `${labelName(name, words)} ${shareText(some, place, words)}`)
    .join(", ");
}
