/** What is found, in words: its level as a sign, the name of its kind, and how two filters are related. */

import type { Atlas } from "../data/atlas";
import type { RelationInfo, Verdict } from "../data/contract";
import { formatted, plain } from "../numbers";
import { useApp, useAddress } from "../state/app";
import { fill } from "../words";
import type { Words } from "../words/en";

const SIGNS = { warning: "!", note: "i", "left out": "?" };

export function LevelSign({ level }: { level: Verdict["level"] }) {
  const { words } = useApp();
  return (
    <span class={`level level-${level.replace(" ", "-")}`} title={words.diagnosis.levels[level]}>
      <span aria-hidden="true">{SIGNS[level]}</span>
      <span class="hidden">{words.diagnosis.levels[level]}: </span>
    </span>
  );
}

export function kindName(kind: string, words: Words): string {
  return words.diagnosis.kinds[kind] ?? kind;
}

/** The kind of a finding, which leads to all findings of that kind. */
export function KindLink({ atlas, kind, count }: { atlas?: Atlas; kind: string; count?: number }) {
  const { words } = useApp();
  const to = useAddress(atlas);
  return (
    <a href={to({ kind: "diagnosis" }, { open: kind })}>
      {kindName(kind, words)}
      {count !== undefined && <span class="count"> {count}</span>}
    </a>
  );
}

/** What two filters have to do with each other, said of the relation's own unit. */
export function relationText({ kind, unit, other, similarity, ...how }: RelationInfo, words: Words): string {
  const text = fill(words.diagnosis.relations[kind] ?? kind, {
    unit,
    other,
    scale: plain(how.scale),
    angle: how.angle === null ? "" : Math.round(how.angle),
    mirrored: how.mirrored ? words.diagnosis.mirrored : "",
    dy: plain(how.dy),
    dx: plain(how.dx),
  });
  return `${text}; ${fill(words.diagnosis.likeness[kind] ?? words.diagnosis.correlation, { value: formatted("correlation", similarity) })}`;
}

/** The same in as few letters as stand under a tile. */
export function relationMark(relation: RelationInfo): string {
  if (relation.kind === "shifted") return `${plain(relation.dy)}, ${plain(relation.dx)}`;
  if (relation.angle !== null) return `${relation.mirrored ? "⇋ " : ""}${Math.round(relation.angle)}°`;
  if (relation.kind === "equal" || relation.scale === null) return "=";
  return `${plain(Number(relation.scale.toPrecision(2)))}\u2009×`;
}
