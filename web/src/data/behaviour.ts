/** Tuning curves as the shard holds them, unpacked for one unit. */

import type { TuningCurves, TuningData } from "./contract";

export type TuningStatus = "clear" | "weak" | "none" | "silent";

export interface TuningCurve {
  of: string;
  values: number[];
  /** By the unit's largest response to any stimulus: at most 1. */
  responses: number[];
  preferred: number | null;
  selectivity: number | null;
  status: TuningStatus;
}

const STATES: Record<string, TuningStatus> = { c: "clear", w: "weak", n: "none", s: "silent" };

/** The curves of one unit, by their kind; what is not known of it is not among them. */
export function unitCurves(tuning: TuningData, place: number): Map<string, TuningCurve> {
  const found = new Map<string, TuningCurve>();
  for (const curves of tuning.curves) {
    const curve = unitCurve(curves, place, tuning.best[place] ?? 0);
    if (curve) found.set(curves.of, curve);
  }
  return found;
}

function unitCurve(curves: TuningCurves, place: number, best: number): TuningCurve | null {
  const values = curves.sets[curves.which[place] ?? -1];
  const status = STATES[curves.status[place] ?? ""];
  if (!values || !status) return null;
  const longest = Math.max(...curves.sets.map((set) => set.length));
  // Four letters are three bytes: only this unit's are decoded.
  const first = Math.floor((place * longest) / 3);
  const text = atob(curves.responses.slice(4 * first, 4 * Math.ceil(((place + 1) * longest) / 3)));
  const step = best > 0 ? (curves.largest[place] ?? 0) / best / 127 : 0;
  const responses = values.map((_, at) => ((text.charCodeAt(place * longest + at - 3 * first) << 24) >> 24) * step);
  return {
    of: curves.of,
    values,
    responses,
    preferred: curves.preferred[place] ?? null,
    selectivity: curves.selectivity[place] ?? null,
    status,
  };
}

/** Whether no stimulus brings the unit above its response to grey. */
export function isSilent(curves: Map<string, TuningCurve>): boolean {
  return [...curves.values()].every((curve) => curve.status === "silent");
}
