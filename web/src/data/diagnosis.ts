/** A diagnosis as the views ask for it: what was found of one filter, whom it is related to, where families lie. */

import { formatted, percent, plain } from "../numbers";
import type { Diagnosis, FamilyInfo, FindingInfo, LayerInfo, RelationInfo, SpectrumInfo, Verdict } from "./contract";

/** Relations between copies: what they are in sum is told of a family. */
export const COPIES = ["rotated", "mirrored", "shifted"];

export interface Judged {
  verdict: Verdict;
  finding: FindingInfo;
}

/** What was found of a filter, or with `unit` null of a layer as a whole; worst first. */
export function findingsOf(diagnosis: Diagnosis, layer: LayerInfo, unit: number | null): Judged[] {
  return diagnosis.verdicts.flatMap((verdict) =>
    verdict.findings
      .filter((finding) => finding.layer === layer.id && finding.unit === unit)
      .map((finding) => ({ verdict, finding })),
  );
}

export interface Related {
  relation: RelationInfo;
  /** The filter beside the one that was asked for. */
  other: number;
}

/**
 * The filters that one is related to. Copies are told as what becomes of this one; all else as what this one is, unless
 * that was noted of the other one alone.
 */
export function relatedTo(diagnosis: Diagnosis, layer: LayerInfo, unit: number): Related[] {
  const found: Related[] = [];
  for (const relation of diagnosis.relations) {
    if (relation.layer !== layer.id) continue;
    const copy = COPIES.includes(relation.kind);
    if (relation.unit === unit && !copy) found.push({ relation, other: relation.other });
    if (relation.other === unit && (copy || !noted(diagnosis, relation))) found.push({ relation, other: relation.unit });
  }
  return found;
}

/** Whether the same is said the other way round. */
function noted(diagnosis: Diagnosis, one: RelationInfo): boolean {
  return diagnosis.relations.some(
    ({ layer, kind, unit, other }) => layer === one.layer && kind === one.kind && unit === one.other && other === one.unit,
  );
}

/** How a finding of a kind is related to others: the relations that it speaks of. */
export function relationsBehind(diagnosis: Diagnosis, kind: string, finding: FindingInfo): RelationInfo[] {
  return diagnosis.relations.filter(
    (one) => one.layer === finding.layer && one.unit === finding.unit && one.kind === kind,
  );
}

/** The relation that makes `unit` a copy of the first of its family; null: it is one by way of others. */
export function tie(diagnosis: Diagnosis, family: FamilyInfo, unit: number): RelationInfo | null {
  const found = diagnosis.relations.find(
    (one) => one.layer === family.layer && one.other === family.unit && one.unit === unit && COPIES.includes(one.kind),
  );
  return found ?? null;
}

const VALUES: Record<string, (finding: FindingInfo, spectrum: SpectrumInfo | undefined) => string> = {
  "provably dead": ({ value }) => `≤\u2009${plain(value)}`,
  "no stimulus found": ({ value }) => `≤\u2009${plain(value)}`,
  "never fired": ({ high }) => (high === null ? "" : `<\u2009${Number((high * 100).toPrecision(2))}\u2009%`),
  constant: ({ value }) => plain(value),
  scaled: ({ value }) => `${plain(value)}\u2009×`,
  antiphase: ({ value }) => `${plain(value)}\u2009×`,
  near: ({ value }) => formatted("correlation", value),
  memorises: ({ value }) => plain(value),
  combination: () => "",
  equal: () => "",
  unread: () => "",
  family: () => "",
  hint: ({ value }) => plain(value),
  "sees the whole image before": ({ value }) => `${plain(value)}\u2009×`,
  "block can be bypassed": ({ value }) => points(value),
  "too many filters": ({ value }, spectrum) => (spectrum ? `${plain(value)} / ${spectrum.width}` : plain(value)),
  "candidate for more filters": ({ value }, spectrum) => (spectrum ? `${plain(value)} / ${spectrum.width}` : plain(value)),
  "shift between the sets": ({ value }) => plain(value),
  "batch norm statistics": ({ value }) => points(value),
  overfits: ({ value }) => points(value),
  "gap opens": ({ value }) => points(value),
  "more data": ({ value }) => points(value),
  "smaller network": ({ value }) => points(value),
  gap: ({ value }) => points(value),
  "over-confident": ({ value }) => plain(value),
  "uneven classes": ({ value }) => plain(value),
};

/** The number of a finding in a few letters. */
export function valueText(diagnosis: Diagnosis, kind: string, finding: FindingInfo): string {
  if (finding.value === null) return "";
  const spectrum = diagnosis.spectra.find((one) => one.layer === finding.layer);
  return VALUES[kind]?.(finding, spectrum) ?? percent(finding.value);
}

/** A change of a share in points of a hundred, with its sign. */
export function points(value: number | null): string {
  const text = plain(value === null ? null : Number((100 * value).toFixed(1)));
  return value !== null && value > 0 ? `+${text}` : text;
}

/** Where a shift goes, in positions of the layer's input. */
export function arrows(down: number, right: number): string {
  const ways: [number, string, string][] = [
    [down, "↓", "↑"],
    [right, "→", "←"],
  ];
  return ways
    .filter(([value]) => value)
    .map(([value, there, back]) => `${plain(Math.abs(value))}${value > 0 ? there : back}`)
    .join("\u2009");
}

/** Directions around a circle, moved until neighbours are `apart` degrees from each other; in the order given. */
export function movedApart(angles: number[], apart: number): number[] {
  const order = angles.map((_, place) => place).sort((one, other) => (angles[one] ?? 0) - (angles[other] ?? 0));
  const count = order.length;
  let found = order.map((place) => angles[place] ?? 0);
  if (count * apart >= 360) found = found.map((_, place) => (found[0] ?? 0) + (360 * place) / count);
  else
    for (let turn = 0; turn < 200 && count > 1; turn++)
      for (let one = 0; one < count; one++) {
        const next = (one + 1) % count;
        const missing = apart - ((found[next] ?? 0) - (found[one] ?? 0) + (next === 0 ? 360 : 0));
        if (missing <= 1e-9) continue;
        found[one] = (found[one] ?? 0) - missing / 2;
        found[next] = (found[next] ?? 0) + missing / 2;
      }
  const moved = new Array<number>(count).fill(0);
  order.forEach((place, at) => {
    moved[place] = found[at] ?? 0;
  });
  return moved;
}
