/** Shards that come as scripts, in a document that loads nothing: the test plays the browser. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ScriptShard } from "../src/data/script_shard";

interface Script {
  src: string;
  onload: () => void;
  onerror: () => void;
  remove: () => void;
}
let asked: Script[] = [];
const root = {
  createElement: () => ({ remove: () => undefined }),
  head: { append: (script: Script) => asked.push(script) },
} as unknown as Document;

beforeEach(() => {
  asked = [];
  vi.stubGlobal("window", {});
});
afterEach(() => void vi.unstubAllGlobals());

const deliver = (name: string, value: unknown) => window.filterscope?.deliver(name, value);

test("a shard is the value that its script delivers, and is asked for once", async () => {
  const source = new ScriptShard(root);
  const [one, two] = [source.shard("0/layer-003"), source.shard("0/layer-003")];
  expect(asked.map(({ src }) => src)).toEqual(["data/0/layer-003.js"]);
  deliver("0/layer-003", { units: [1] });
  asked[0]?.onload();
  expect(await one).toEqual({ units: [1] });
  expect(await two).toEqual({ units: [1] });
});

test("what is delivered before it is asked for is not loaded again", async () => {
  const source = new ScriptShard(root);
  deliver("index", { format: 1 });
  expect(await source.shard("index")).toEqual({ format: 1 });
  expect(asked).toEqual([]);
});

test("sheets lie in a folder of their own, and odd names are encoded", () => {
  const source = new ScriptShard(root);
  void source.shard("sheets/0/a b#1");
  expect(asked[0]?.src).toBe("sheets/0/a%20b%231.js");
});

test("a missing and a damaged file are told apart, and may come back", async () => {
  const source = new ScriptShard(root);
  const missing = source.shard("0/images");
  asked[0]?.onerror();
  await expect(missing).rejects.toThrow("data/0/images.js is missing");
  const damaged = source.shard("0/images");
  asked[1]?.onload();
  await expect(damaged).rejects.toThrow("damaged");
  const again = source.shard("0/images");
  deliver("0/images", 7);
  expect(await again).toBe(7);
});
