/** The graph's lanes. The oracle follows every line from row to row and asks which node's output it carries. */

import { describe, expect, test } from "vitest";
import type { GraphNode } from "../src/data/contract";
import { laneCount, lanes } from "../src/state/lanes";
import { dice, graph } from "./made";

/** Follow the lines; returns which nodes each node is seen to read. Lines must neither begin nor end nowhere. */
function followed(nodes: GraphNode[]): Map<number, Set<number>> {
  let carried = new Map<number, number>();
  const reads = new Map<number, Set<number>>();
  for (const row of lanes(nodes)) {
    const above = new Set([...row.past, ...row.from]);
    expect([...above].sort(), "every line of the row above goes on").toEqual([...carried.keys()].sort());
    expect(row.past, "no line runs through the node").not.toContain(row.lane);
    reads.set(row.node.id, new Set(row.from.map((lane) => carried.get(lane) as number)));
    carried = new Map(row.past.map((lane) => [lane, carried.get(lane) as number]));
    if (row.read) carried.set(row.lane, row.node.id);
  }
  expect(carried.size, "no line leaves the last row").toBe(0);
  return reads;
}

function edges(nodes: GraphNode[]): Map<number, Set<number>> {
  const row = new Map(nodes.map((node, place) => [node.id, place]));
  const earlier = (node: GraphNode, place: number) => node.inputs.filter((input) => (row.get(input) ?? place) < place);
  return new Map(nodes.map((node, place) => [node.id, new Set(earlier(node, place))]));
}

const GRAPHS: Record<string, GraphNode[]> = {
  nothing: [],
  "one node": graph([]),
  chain: graph([], [0], [1], [2]),
  "a skip": graph([], [0], [1], [0, 2], [3]),
  "skips in a row": graph([], [0], [1], [0, 2], [3], [4], [3, 5], [6]),
  "four branches": graph([], [0], [0], [0], [0], [2], [1, 5, 3, 4], [6]),
  "everything reads everything": graph([], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]),
  "the same input twice": graph([], [0, 0], [1, 1]),
  "a loop": graph([], [0, 2], [1], [2]),
  "a node that reads itself": graph([], [0, 1], [1]),
  "two inputs, two outputs": graph([], [], [0], [1], [2, 3], [4], [4]),
  "ids that are no places": [
    { id: 70, kind: "input", name: null, channels: 3, size: null, inputs: [] },
    { id: 5, kind: "layer", name: "a", channels: 3, size: null, inputs: [70] },
    { id: 31, kind: "add", name: null, channels: 3, size: null, inputs: [5, 70, 999] },
  ],
};

describe("every edge is drawn, and nothing else", () => {
  test.each(Object.keys(GRAPHS))("%s", (name) => {
    const nodes = GRAPHS[name] as GraphNode[];
    expect(followed(nodes)).toEqual(edges(nodes));
  });

  test("300 graphs thrown by dice", () => {
    for (let seed = 0; seed < 300; seed++) {
      const roll = dice(seed);
      const nodes = graph(
        ...Array.from({ length: 2 + Math.floor(roll() * 20) }, (_, id) =>
          // Mostly the node before, sometimes others, now and then one that runs later.
          Array.from({ length: Math.floor(roll() * 4) }, () => (roll() < 0.5 ? id - 1 : Math.floor(roll() * (id + 2)))),
        ),
      );
      expect(followed(nodes), `seed ${seed}`).toEqual(edges(nodes));
    }
  });
});

test("a chain is one straight line", () => {
  const rows = lanes(graph([], [0], [1], [2], [3]));
  expect(rows.map((row) => row.lane)).toEqual([0, 0, 0, 0, 0]);
  expect(laneCount(rows)).toBe(1);
});

test("a skip takes one lane beside the body, and the sum comes back to the first", () => {
  const rows = lanes(graph([], [0], [1], [0, 2], [3]));
  expect(laneCount(rows)).toBe(2);
  expect(rows[3]?.from).toHaveLength(2);
  expect(rows[3]?.lane).toBe(0);
  expect(rows[4]?.lane).toBe(0);
});

test("blocks in a row take no more lanes than one block", () => {
  expect(laneCount(lanes(GRAPHS["skips in a row"] as GraphNode[]))).toBe(2);
});

test("four branches take at most five lanes: theirs and their source's", () => {
  const rows = lanes(GRAPHS["four branches"] as GraphNode[]);
  expect(laneCount(rows)).toBeLessThanOrEqual(5);
  expect(rows[6]?.from).toHaveLength(4);
});

test("without nodes there is nothing to draw", () => {
  expect(laneCount(lanes([]))).toBe(1);
});
