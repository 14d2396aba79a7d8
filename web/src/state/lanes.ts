/** The network's graph as lanes, one row a node: branches run side by side until they meet. */

import type { GraphNode } from "../data/contract";

export interface LaneRow {
  node: GraphNode;
  /** The lane on which the node stands. */
  lane: number;
  /** Lanes that pass by, from the row above to the one below. */
  past: number[];
  /** Lanes of the row above that end in the node, or branch off to it. */
  from: number[];
  /** Whether anything below reads the node. */
  read: boolean;
}

/**
 * Give each node a lane. A lane is held by a node's output until its last reader; a node takes over the lane of an
 * input that nobody reads any more, so that a chain is one straight line. Inputs that run later (loops) are left out.
 */
export function lanes(nodes: GraphNode[]): LaneRow[] {
  const last = new Map<number, number>();
  nodes.forEach((node, row) => {
    for (const input of node.inputs) last.set(input, Math.max(row, last.get(input) ?? 0));
  });
  const rowOf = new Map(nodes.map((node, row) => [node.id, row]));
  const held: (number | null)[] = [];
  return nodes.map((node, row) => {
    const inputs = [...new Set(node.inputs)].filter((input) => (rowOf.get(input) ?? row) < row);
    const from = inputs.map((input) => held.indexOf(input)).filter((lane) => lane >= 0);
    const ending = from.filter((lane) => last.get(held[lane] as number) === row).sort((a, b) => a - b);
    for (const lane of ending) held[lane] = null;
    const past = held.flatMap((holder, lane) => (holder === null || holder === undefined ? [] : [lane]));
    let lane = ending[0] ?? held.findIndex((holder) => holder === null);
    if (lane < 0) lane = held.length;
    const read = (last.get(node.id) ?? -1) > row;
    held[lane] = read ? node.id : null;
    return { node, lane, past, from, read };
  });
}

export function laneCount(rows: LaneRow[]): number {
  return Math.max(1, ...rows.map((row) => Math.max(row.lane, ...row.past, ...row.from) + 1));
}
