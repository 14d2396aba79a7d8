/** Where an arrow key leads. Boxes are [left, top, right, bottom]. */

import { describe, expect, test } from "vitest";
import { nearest } from "../src/state/keys";

type Sides = [number, number, number, number];
const box = ([left, top, right, bottom]: Sides) => ({ left, top, right, bottom });

/** Tiles of 88 px in a grid 10 px apart, with a last row that is not full. */
const ACROSS = 5;
const TILES = Array.from({ length: 18 }, (_, item) => {
  const [x, y] = [(item % ACROSS) * 98, Math.floor(item / ACROSS) * 122];
  return { item, box: box([x, y, x + 88, y + 112]) };
});
const step = (from: number, arrow: string) =>
  nearest((TILES[from] as (typeof TILES)[number]).box, TILES.filter(({ item }) => item !== from), arrow);

describe("in a grid an arrow leads to the neighbour, and not out of the grid", () => {
  test.each(TILES.map(({ item }) => item))("from %i", (item) => {
    const column = item % ACROSS;
    if (column < ACROSS - 1 && item + 1 < TILES.length) expect(step(item, "ArrowRight")).toBe(item + 1);
    if (column > 0) expect(step(item, "ArrowLeft")).toBe(item - 1);
    if (item >= ACROSS) expect(step(item, "ArrowUp")).toBe(item - ACROSS);
    if (item + ACROSS < TILES.length) expect(step(item, "ArrowDown")).toBe(item + ACROSS);
  });
  test("up from the first row and left from the first tile lead nowhere", () => {
    for (let item = 0; item < ACROSS; item++) expect(step(item, "ArrowUp")).toBeNull();
    for (let row = 0; row < 4; row++) expect(step(row * ACROSS, "ArrowLeft")).toBeNull();
  });
});

test("what overlaps in the direction goes before what is nearer but beside it", () => {
  const beside = { item: "beside", box: box([120, 20, 140, 40]) };
  const ahead = { item: "ahead", box: box([0, 300, 100, 320]) };
  expect(nearest(box([0, 0, 100, 10]), [beside, ahead], "ArrowDown")).toBe("ahead");
});

test("columns of different height are left and right of each other", () => {
  const columns = [400, 90, 250].map((height, item) => ({ item, box: box([item * 50, 0, item * 50 + 42, height]) }));
  const from = (item: number, arrow: string) =>
    nearest((columns[item] as (typeof columns)[number]).box, columns.filter((one) => one.item !== item), arrow);
  expect(from(0, "ArrowRight")).toBe(1);
  expect(from(1, "ArrowRight")).toBe(2);
  expect(from(2, "ArrowLeft")).toBe(1);
});
