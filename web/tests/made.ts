/** Atlases and layers made by hand, with as little in them as a test needs. */

import { Atlas } from "../src/data/atlas";
import type { GraphNode, LayerData, LayerInfo, Manifest } from "../src/data/contract";

export function layerInfo(name: string, channels = 8, id = 0): LayerInfo {
  return {
    name, id, position: id, kind: "conv", channels, inChannels: 3, kernel: [3, 3], stride: [1, 1], padding: [1, 1],
    dilation: [1, 1], groups: 1, outputSize: [8, 8], parameters: 100, flops: 1000, calls: 1, observed: name,
    fieldSize: [3, 3], fieldStride: [1, 1], fieldStart: [-1, -1], wholeImage: false, gated: false, firstPicture: 0,
    medians: {}, neverFired: 0, noStimulus: 0, proven: null, hasMeans: false, hasMaps: false, hasBehaviour: false,
    functions: null,
  };
}

export function atlasOf(layers: LayerInfo[], shards: Record<string, unknown> = {}): Atlas {
  const manifest: Manifest = {
    key: "0", title: "made", network: "made", networkDigest: "", images: null, imageCount: 0, made: null,
    inputSize: [32, 32], missing: [], labels: [], layers, nodes: [], bands: [], columns: [], overview: {},
    photograph: null, photographPicture: null, hasClasses: true, hasDiagnosis: false, mapImages: 0, lenses: {},
  };
  const asked: string[] = [];
  return Object.assign(
    new Atlas(manifest, {
      capabilities: { live: false },
      shard: <T>(name: string) => {
        asked.push(name);
        return name in shards ? Promise.resolve(shards[name] as T) : Promise.reject(new Error(`no ${name}`));
      },
    }),
    { asked },
  );
}

export function layerData(numbers: Record<string, (number | null)[]>, some: Partial<LayerData> = {}): LayerData {
  const units = (Object.values(numbers)[0] ?? []).map((_, place) => place);
  return {
    units, numbers, optima: units.map(() => []), patches: units.map(() => []), backprojections: [], effective: null, functions: null, proven: null, slices: null, histograms: null,
    alike: null, pictures: {}, ...some,
  };
}

/** Nodes from the ids that each reads; a node's id is its place. */
export function graph(...inputs: number[][]): GraphNode[] {
  return inputs.map((some, id) => ({ id, kind: "layer", name: `n${id}`, channels: 1, size: null, inputs: some }));
}

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
