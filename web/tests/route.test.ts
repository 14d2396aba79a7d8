/** Addresses: what is written is read again, and what nobody wrote is not taken for something. */

import { describe, expect, test } from "vitest";
import { type View, address, parsePlace, parseRoute, placeName } from "../src/state/route";

const NAMES = [
  "conv1", "features.9.expand3x3", "a/b", "100%", "%2F", "a b", "?", "#", "=&+", "@home", "~", "tree frog, tree-frog",
  "树蛙", "ضفدع", "é\u0301", "<img src=x onerror=alert(1)>", "'\"", "x".repeat(200), "crème brûlée", "🐸", "..", ".",
];

describe("an address leads back to its view", () => {
  const views: View[] = [
    { kind: "overview" },
    { kind: "network" },
    { kind: "classes" },
    { kind: "diagnosis" },
    ...NAMES.flatMap((name): View[] => [
      { kind: "layer", layer: name },
      { kind: "filter", layer: name, unit: 17 },
      { kind: "class", name },
      {
        kind: "compare",
        places: [
          { atlas: 0, layer: name, unit: 3 },
          { atlas: 1, layer: name, unit: null },
        ],
      },
    ]),
    { kind: "compare", places: [] },
    { kind: "unknown", path: "a/b/c" },
  ];
  const query = { sort: "ratio", where: "firing_rate>=0.5,mean<=-1e-7", odd: "a&b=c#d %+é" };
  test.each(views.map((view) => [JSON.stringify(view), view] as const))("%s", (_, view) => {
    for (const atlas of [0, 1, 9])
      for (const some of [{}, query])
        expect(parseRoute(address(view, atlas, some))).toEqual({ atlas, view, query: some });
  });
});

test("addresses of usual names are short enough to be read out", () => {
  expect(address({ kind: "filter", layer: "features.3.squeeze", unit: 17 }, 0, { tile: "patch" })).toBe(
    "#/features.3.squeeze/17?tile=patch",
  );
  expect(address({ kind: "layer", layer: "conv1" }, 0, { tile: "map", image: "7", scale: "layer" })).toBe(
    "#/conv1?tile=map&image=7&scale=layer",
  );
  expect(address({ kind: "overview" })).toBe("#/");
  expect(address({ kind: "network" }, 1)).toBe("#/@2/~network");
  const places = [{ atlas: 0, layer: "conv1", unit: 3 }, { atlas: 1, layer: "conv1", unit: null }];
  expect(address({ kind: "compare", places })).toBe("#/~compare/conv1:3/2@conv1");
});

test.each([
  ["", "overview"],
  ["#", "overview"],
  ["#/", "overview"],
  ["#//", "overview"],
  ["#/~network/", "network"],
  ["#/conv1/", "layer"],
  ["#/conv1/five", "unknown"],
  ["#/conv1/-1", "unknown"],
  ["#/conv1/1.5", "unknown"],
  ["#/conv1/1/2", "unknown"],
])("an address typed by hand: %s is %s", (hash, kind) => {
  expect(parseRoute(hash).view.kind).toBe(kind);
});

test("a percent sign that begins no code is itself", () => {
  expect(parseRoute("#/100%/3").view).toEqual({ kind: "filter", layer: "100%", unit: 3 });
});

test("a name that is no valid text does not break the page", () => {
  expect(address({ kind: "class", name: "half a letter \ud800" })).toMatch(/^#\/~class\/half/);
});

test.each([
  ["conv1:3", { atlas: 0, layer: "conv1", unit: 3 }],
  ["2@block.0:12", { atlas: 1, layer: "block.0", unit: 12 }],
  ["conv1", { atlas: 0, layer: "conv1", unit: null }],
])("a place is read as it is written: %s", (text, place) => {
  expect(parsePlace(text)).toEqual(place);
  expect(placeName(place)).toBe(text);
});
