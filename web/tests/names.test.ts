/** Layers under their parent's name, what a search finds, and what an atlas is asked for. */

import { describe, expect, test } from "vitest";
import { find } from "../src/parts/search";
import { grouped } from "../src/views/overview";
import { atlasOf, layerInfo } from "./made";

const groups = (...names: string[]) =>
  grouped(names.map((name) => layerInfo(name))).map(({ prefix, layers }) => [prefix, ...layers.map(({ name }) => name)]);

test("neighbouring layers of one parent stand under its name", () => {
  expect(groups("conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.0.down.0", "layer1.0.conv3", "fc")).toEqual([
    ["", "conv1"],
    ["layer1.0", "layer1.0.conv1", "layer1.0.conv2"],
    ["layer1.0.down", "layer1.0.down.0"],
    ["layer1.0", "layer1.0.conv3"],
    ["", "fc"],
  ]);
  expect(groups()).toEqual([]);
});

describe("a search", () => {
  const atlas = atlasOf([
    layerInfo("conv1", 8), layerInfo("block1.conv1", 16, 1), layerInfo("block1.conv10", 64, 2), layerInfo("100", 4, 3),
  ]);
  const classes = ["tree frog", "Frog", "bullfrog", "树蛙", "conv1"];
  const names = (text: string) => find(atlas, classes, text).map(({ kind, name }) => `${kind} ${name}`);

  test("finds nothing for nothing", () => {
    expect(names("")).toEqual([]);
    expect(names("  ")).toEqual([]);
    expect(names("xyz")).toEqual([]);
  });
  test("puts the very name first, then what begins with it, whatever the case", () => {
    expect(names("conv1")).toEqual([
      "layer conv1", "layer block1.conv1", "layer block1.conv10", "class conv1",
    ]);
    expect(names("FROG")).toEqual(["class Frog", "class tree frog", "class bullfrog"]);
    expect(names("树")).toEqual(["class 树蛙"]);
  });
  test.each(["block1.conv1:12", "block1.conv1 12", "block1.conv1/12", " Block1.CONV1:12 "])("leads to a filter: %s", (text) => {
    expect(find(atlas, classes, text)[0]).toEqual({
      view: { kind: "filter", layer: "block1.conv1", unit: 12 }, name: "block1.conv1:12", kind: "filter",
    });
  });
  test("offers no filter that the layer does not have", () => {
    expect(names("conv1:12")).toEqual(["filter block1.conv1:12", "filter block1.conv10:12"]);
  });
  test("offers no more than can be read", () => {
    const many = atlasOf(Array.from({ length: 500 }, (_, id) => layerInfo(`conv${id}`, 8, id)));
    expect(find(many, [], "conv").length).toBeLessThanOrEqual(20);
  });
});

describe("an atlas", () => {
  test("asks for each shard once, and again after a failure", async () => {
    const layer = layerInfo("conv1");
    const shards: Record<string, unknown> = { "0/layer-000": { units: [] } };
    const atlas = atlasOf([layer], shards) as ReturnType<typeof atlasOf> & { asked: string[] };
    expect(await atlas.layer(layer)).toBe(await atlas.layer(layer));
    expect(atlas.asked).toEqual(["0/layer-000"]);
    await expect(atlas.images()).rejects.toThrow("no 0/images");
    shards["0/images"] = { sources: [] };
    expect(await atlas.images()).toEqual({ sources: [] });
  });
  test("knows its layers and their neighbours", () => {
    const atlas = atlasOf([layerInfo("a"), layerInfo("b", 8, 1)]);
    const [a, b] = atlas.manifest.layers as [ReturnType<typeof layerInfo>, ReturnType<typeof layerInfo>];
    expect([atlas.layerNamed("b"), atlas.neighbour(a, 1), atlas.neighbour(b, 1), atlas.neighbour(a, -1)]).toEqual([
      b, b, undefined, undefined,
    ]);
  });
  test("gives classes of one name an address each", async () => {
    const named = (name: string, number: number | null) => ({ name, number, label: null, image: null, contributions: [], responses: [] });
    const classes = [named("crane", 134), named("frog", 1), named("crane", 517), named("crane", null)];
    const atlas = atlasOf([], { "0/classes": { classes, pictures: null } });
    const names = (await atlas.classes()).classes.map(({ name }) => name);
    expect(names[0]).toBe("crane");
    expect(new Set(names).size).toBe(4);
    expect(names[2]).toContain("crane");
  });
});
