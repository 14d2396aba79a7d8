/** Which picture stands for filters that are shown side by side: the same kind for all, as far as all have it. */

import type { LayerData } from "../data/contract";
import type { Shows } from "./filter_tile";

type Kind = "optimum" | "patch" | "kernel";

const BEST: Kind[] = ["optimum", "patch", "kernel"];

export function bestKind(data: LayerData, units: number[], first: Kind[] = []): Shows {
  const kinds = [...first, ...BEST].filter((kind) => data.pictures[kind]);
  const places = units.map((unit) => data.units.indexOf(unit));
  const shared = kinds.find((kind) => places.every((place) => has(data, kind, place)));
  return shared ?? kinds.find((kind) => places.some((place) => has(data, kind, place))) ?? "statistics";
}

function has(data: LayerData, kind: Kind, place: number): boolean {
  if (kind === "optimum") return Boolean(data.optima[place]?.length);
  return kind === "patch" ? Boolean(data.patches[place]?.length) : true;
}
