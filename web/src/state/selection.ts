/** Which filters of a layer are shown, and in which order: kept in the address, so that it can be mailed. */

import type { LayerData, Proven } from "../data/contract";
import { LABELS } from "../data/functions";

export interface Condition {
  column: string;
  sign: ">=" | "<=";
  value: number;
}

export interface Selection {
  /** "index", or the name of a column. */
  sort: string;
  descending: boolean;
  conditions: Condition[];
  /** Only the filters that are in this state. */
  state: UnitState | null;
  /** Only the filters with this label. */
  label: string | null;
}

/** In the order of certainty. Each is a claim of its own: none is said in place of another. */
export const ASLEEP = ["provably_dead", "unread", "constant", "never_fired", "no_stimulus", "not_finite"] as const;

export type Asleep = (typeof ASLEEP)[number];

export type UnitState = Asleep | "awake";

const PROVEN: Record<Proven, Asleep> = { "provably dead": "provably_dead", unread: "unread", constant: "constant" };

export function readSelection(query: Record<string, string>): Selection {
  const conditions: Condition[] = [];
  for (const text of (query["where"] ?? "").split(",")) {
    const found = /^([\w.]+)(>=|<=)(-?[\d.]+(?:e[+-]?\d+)?)$/i.exec(text);
    if (found?.[1] && Number.isFinite(Number(found[3])))
      conditions.push({ column: found[1], sign: found[2] as ">=" | "<=", value: Number(found[3]) });
  }
  const state = query["state"];
  const label = query["function"] ?? null;
  return {
    sort: query["sort"] ?? "index",
    descending: query["order"] !== "up",
    conditions,
    state: ([...ASLEEP, "awake"] as const).find((one) => one === state) ?? null,
    label: label !== null && (LABELS as readonly string[]).includes(label) ? label : null,
  };
}

export function writeSelection(selection: Selection): Record<string, string> {
  const query: Record<string, string> = {};
  if (selection.sort !== "index") query["sort"] = selection.sort;
  if (!selection.descending) query["order"] = "up";
  if (selection.conditions.length)
    query["where"] = selection.conditions.map(({ column, sign, value }) => `${column}${sign}${value}`).join(",");
  if (selection.state) query["state"] = selection.state;
  if (selection.label) query["function"] = selection.label;
  return query;
}

/** Places of the units that meet all conditions, in order; a unit whose number is unknown meets none and comes last. */
export function selected(data: LayerData, selection: Selection): number[] {
  const places = data.units
    .map((_, place) => place)
    .filter((place) => selection.conditions.every((condition) => meets(data, place, condition)))
    .filter((place) => selection.state === null || isInState(data, place, selection.state))
    .filter((place) => selection.label === null || data.functions?.[place]?.label === selection.label);
  if (selection.sort === "index") return selection.descending ? places : places.reverse();
  const numbers = data.numbers[selection.sort];
  if (!numbers) return places;
  const sign = selection.descending ? -1 : 1;
  return places.sort((one, other) => {
    const [a, b] = [numbers[one] ?? null, numbers[other] ?? null];
    if (a === null || b === null) return (a === null ? 1 : 0) - (b === null ? 1 : 0) || one - other;
    return sign * (a - b) || one - other;
  });
}

function meets(data: LayerData, place: number, { column, sign, value }: Condition): boolean {
  const number = data.numbers[column]?.[place] ?? null;
  if (number === null) return false;
  return sign === ">=" ? number >= value : number <= value;
}

/** Why a unit may do no work, the most certain first; nothing: it is at work. What is proven leaves out what follows. */
export function asleep(data: LayerData, place: number): Asleep[] {
  const found: Asleep[] = (data.proven?.[place] ?? []).map((kind) => PROVEN[kind]);
  if (found.includes("provably_dead")) return found;
  if (data.numbers["image_firing_rate"]?.[place] === 0) found.push("never_fired");
  const status = data.optima[place]?.[0]?.status;
  if (status === "no stimulus found") found.push("no_stimulus");
  if (status === "not finite") found.push("not_finite");
  return found;
}

export function isInState(data: LayerData, place: number, state: UnitState): boolean {
  const found = asleep(data, place);
  return state === "awake" ? !found.length : found.includes(state);
}
