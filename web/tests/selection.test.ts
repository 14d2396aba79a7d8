/** Which filters are kept and in which order. The oracle is written out by hand. */

import { expect, test } from "vitest";
import { type Selection, readSelection, selected, asleep, writeSelection } from "../src/state/selection";
import { parseRoute, address } from "../src/state/route";
import type { OptimumInfo } from "../src/data/contract";
import { layerData } from "./made";

const ALL: Selection = { sort: "index", descending: true, conditions: [], state: null, label: null };
const DATA = layerData({
  mean: [2, null, -3, 2, 10, null],
  firing_rate: [0.5, 0.1, 0, 1, null, 0.7],
});

test("without a choice the filters stand in the order of their indices", () => {
  expect(selected(DATA, ALL)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(selected(DATA, { ...ALL, descending: false })).toEqual([5, 4, 3, 2, 1, 0]);
});

test("sorted either way unknown numbers come last, and equal ones stay in order", () => {
  expect(selected(DATA, { ...ALL, sort: "mean" })).toEqual([4, 0, 3, 2, 1, 5]);
  expect(selected(DATA, { ...ALL, sort: "mean", descending: false })).toEqual([2, 0, 3, 4, 1, 5]);
});

test("a number that the layer does not have changes nothing", () => {
  expect(selected(DATA, { ...ALL, sort: "nonsense" })).toEqual([0, 1, 2, 3, 4, 5]);
});

test("every condition must be met, its bound included; an unknown number meets none", () => {
  const keep = (...conditions: Selection["conditions"]) => selected(DATA, { ...ALL, conditions });
  expect(keep({ column: "mean", sign: ">=", value: 2 })).toEqual([0, 3, 4]);
  expect(keep({ column: "mean", sign: "<=", value: 2 })).toEqual([0, 2, 3]);
  expect(keep({ column: "mean", sign: ">=", value: 2 }, { column: "firing_rate", sign: "<=", value: 0.5 })).toEqual([0]);
  expect(keep({ column: "mean", sign: "<=", value: -100 })).toEqual([]);
  expect(keep({ column: "nonsense", sign: "<=", value: 0 })).toEqual([]);
});

test("a state keeps the filters that are in it; never fired goes before no stimulus", () => {
  const optimum = (status: string) => [{ status } as OptimumInfo];
  const data = layerData(
    { image_firing_rate: [0, 0, 0.5, 0.5, null, 0, 0.5] },
    {
      optima: [
        optimum("no stimulus found"), [], optimum("no stimulus found"), optimum("converged"), optimum("not finite"),
        optimum("no stimulus found"), optimum("converged"),
      ],
      proven: [[], [], [], [], [], ["provably dead"], ["unread", "constant"]],
    },
  );
  // What is dead for certain has never fired in these images, and that says less.
  expect(data.units.map((_, place) => asleep(data, place))).toEqual([
    ["never_fired", "no_stimulus"], ["never_fired"], ["no_stimulus"], [], ["not_finite"], ["provably_dead"],
    ["unread", "constant"],
  ]);
  expect(selected(data, { ...ALL, state: "provably_dead" })).toEqual([5]);
  expect(selected(data, { ...ALL, state: "constant" })).toEqual([6]);
  expect(selected(data, { ...ALL, state: "awake" })).toEqual([3]);
  expect(selected(data, { ...ALL, state: "never_fired" })).toEqual([0, 1]);
  expect(selected(data, { ...ALL, state: "no_stimulus" })).toEqual([0, 2]);
});

test("a function keeps the filters with its label; one that was not looked at has none", () => {
  const named = (label: string) => ({ label, compound: label, low: [], high: [], missing: null });
  const functions = [named("edge"), named("mixed"), null, named("edge"), named("dead"), named("bag of parts")];
  const data = layerData({ mean: [1, 2, 3, 4, 5, 6] }, { functions });
  expect(selected(data, { ...ALL, label: "edge" })).toEqual([0, 3]);
  expect(selected(data, { ...ALL, label: "edge", sort: "mean" })).toEqual([3, 0]);
  expect(selected(data, { ...ALL, label: "bag of parts" })).toEqual([5]);
  expect(selected(DATA, { ...ALL, label: "edge" })).toEqual([]);
});

test.each<[string, Selection]>([
  ["nothing", ALL],
  ["a sort", { ...ALL, sort: "activation_max", descending: false }],
  ["conditions", { ...ALL, conditions: [{ column: "a.b", sign: ">=", value: 0.5 }, { column: "c_d", sign: "<=", value: -2 }] }],
  ["small and large numbers", { ...ALL, conditions: [1e-7, -1e-12, 1e21, -3.5e300, 0].map((value) => ({ column: "mean", sign: ">=", value })) }],
  ["a state", { ...ALL, state: "no_stimulus" }],
  ["a function", { ...ALL, label: "bag of parts" }],
])("a choice survives the address: %s", (_, selection) => {
  const { query } = parseRoute(address({ kind: "layer", layer: "conv1" }, 0, writeSelection(selection)));
  expect(readSelection(query)).toEqual(selection);
});

test("what nobody could have chosen is left out", () => {
  const read = readSelection({ where: "mean>=1,mean>=,mean=3,>=2,mean>=1.2.3,mean>=-4", state: "asleep", function: "eye", order: "sideways" });
  expect(read).toEqual({
    ...ALL,
    conditions: [
      { column: "mean", sign: ">=", value: 1 },
      { column: "mean", sign: ">=", value: -4 },
    ],
  });
});
