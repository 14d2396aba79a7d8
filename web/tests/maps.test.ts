/** Activation maps: unpacked as they were packed, in the colours of the sheets, where their receptive fields are. */

import { describe, expect, test } from "vitest";
import type { ActivationMap, Pair } from "../src/data/contract";
import {
  type Box, NEGATIVE, POSITIVE, coloured, fullColour, mapRectangle, positionAt, summed, unpacked, valueAt,
} from "../src/data/maps";
import { atlasOf, dice, layerInfo } from "./made";

/** Packed by `ActivationMap.of` in Python; the levels are those that numpy unpacks. */
const PACKED: ActivationMap = {
  image: 0, size: [2, 3], box: null, scales: [2, 0, 7], largest: [2, 0, 6.9], values: "eJxzcJxf/6uVgYGBgYGhkeGPTYcNADenBZw=",
};
const LEVELS = [[[64, -127, 32], [127, 121, -2]], [[0, 0, 0], [0, 0, 0]], [[-127, -127, 125], [60, -60, 0]]];

test("levels are those that numpy unpacks", async () => {
  expect([...(await unpacked(PACKED))]).toEqual(LEVELS.flat(2));
});

test("values are the levels' shares of the unit's scale", async () => {
  const levels = await unpacked(PACKED);
  LEVELS.forEach((rows, unit) =>
    rows.forEach((row, y) =>
      row.forEach((level, x) => expect(valueAt(PACKED, levels, unit, y, x)).toBeCloseTo((level / 127) * (PACKED.scales[unit] as number))),
    ),
  );
});

test.each([1, 2, 7, 32])("differences add up within a row of %i, whatever the levels", (width) => {
  const roll = dice(width);
  const levels = Int8Array.from({ length: 5 * width }, () => Math.floor(roll() * 255) - 127);
  const differences = Uint8Array.from(levels, (level, at) => level - (at % width ? (levels[at - 1] as number) : 0));
  expect(summed(differences, width)).toEqual(levels);
});

test("what is no zlib is an error, not a picture", async () => {
  await expect(unpacked({ ...PACKED, values: btoa("damaged") })).rejects.toThrow();
});

test("full colour stands for the unit's largest value, or the layer's; single values share one", () => {
  expect([0, 1, 2].map((unit) => fullColour(PACKED, unit, "unit"))).toEqual([2, 1, 7]);
  expect([0, 1, 2].map((unit) => fullColour(PACKED, unit, "layer"))).toEqual([7, 7, 7]);
  expect(fullColour({ ...PACKED, size: [1, 1] }, 0, "unit")).toBe(7);
});

test("blue below zero, red above, nothing at zero, the more the larger", async () => {
  const levels = await unpacked(PACKED);
  const pixels = coloured(PACKED, levels, 2, 7);
  const at = (place: number) => [...pixels.subarray(4 * place, 4 * place + 4)];
  expect(at(0)).toEqual([...NEGATIVE, 255]);
  expect(at(2).slice(0, 3)).toEqual([...POSITIVE]);
  expect(at(5)[3]).toBe(0);
  expect(at(3)[3]).toBe(at(4)[3]);
  expect(at(3)[3]).toBeCloseTo(255 * (60 / 127) ** 0.75, 0);
  // Ten times the scale, less colour; a tenth of it, full colour and no more.
  expect(coloured(PACKED, levels, 2, 70)[3]).toBeLessThan(60);
  expect(coloured(PACKED, levels, 2, 0.7)[4 * 3 + 3]).toBe(255);
});

describe("a position lies around the centre of its receptive field", () => {
  // Along an axis the first field begins at pixel `start`; the fields are `size` wide and `stride` apart.
  test.each([
    { start: -2, size: 5, stride: 1, positions: 20, length: 20 },
    { start: 0, size: 3, stride: 2, positions: 9, length: 20 },
    { start: -20, size: 47, stride: 8, positions: 4, length: 31 },
    { start: 3, size: 4, stride: 3, positions: 2, length: 17 },
  ])("%o", ({ start, size, stride, positions, length }) => {
    const first = start + (size - stride) / 2;
    const box: Box = [first, first, first + positions * stride, first + positions * stride];
    const input: Pair = [length, length];
    const picture = 3 * length;
    const [left, top, width, height] = mapRectangle(box, input, [picture, picture]);
    expect([left, width]).toEqual([top, height]);
    for (let position = 0; position < positions; position++) {
      const centre = start + position * stride + size / 2;
      expect(left + ((position + 0.5) / positions) * width).toBeCloseTo(3 * centre);
      const map = { ...PACKED, size: [positions, positions] as Pair, box };
      if (centre < 0 || centre > length) continue;
      expect(positionAt(map, input, [centre / length, centre / length])).toEqual([position, position]);
    }
  });
});

test("beside the map there is no position", () => {
  const map: ActivationMap = { ...PACKED, box: [2, 4, 8, 10] };
  expect(positionAt(map, [10, 12], [0.1, 0.5])).toBeNull();
  expect(positionAt(map, [10, 12], [0.9, 0.5])).toBeNull();
  expect(positionAt(map, [10, 12], [0.5, 0.2])).toBeNull();
  expect(positionAt(map, [10, 12], [0.21, 0.34])).toEqual([0, 0]);
  // Without a place the picture is the map.
  expect(positionAt({ ...map, box: null }, null, [0.99, 0.01])).toEqual([1, 0]);
});

test("an oblong image has an oblong map over it", () => {
  expect(mapRectangle([1, 0, 3, 20], [4, 20], [100, 20])).toEqual([0, 5, 100, 10]);
  expect(mapRectangle(null, [4, 20], [100, 20])).toEqual([0, 0, 100, 20]);
});

test("a map is unpacked once, and only those of the last few layers are kept", async () => {
  const layers = Array.from({ length: 6 }, (_, id) => layerInfo(`conv${id}`, 3, id));
  const atlas = atlasOf(layers);
  const asked = layers.map((layer) => atlas.levels(layer, PACKED));
  expect([...(await (asked[5] as Promise<Int8Array>))]).toEqual(LEVELS.flat(2));
  const kept = layers.map((layer, place) => atlas.levels(layer, PACKED) === asked[place]);
  expect(kept.slice(0, 2)).toEqual([false, false]);
  expect(layers.slice(-1).map((layer) => atlas.levels(layer, PACKED) === atlas.levels(layer, PACKED))).toEqual([true]);
});
