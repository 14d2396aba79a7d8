/** Activation maps: unpacked, as colours, and where they lie on the image. */

import type { ActivationMap, Pair } from "./contract";

export type Box = NonNullable<ActivationMap["box"]>;

/** Blue, near white, red: the colours of the atlas's sheets. */
export const [NEGATIVE, ZERO, POSITIVE] = [[33, 90, 168], [247, 247, 245], [178, 24, 43]] as const;

/** How fast colour covers the image with the size of a value: as on the atlas's sheets. */
const COVER = 0.75;

/** The levels of all units, (unit, row, column) from -127 to 127. */
export async function unpacked(map: ActivationMap): Promise<Int8Array> {
  const packed = Uint8Array.from(atob(map.values), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return summed(new Uint8Array(await new Response(stream).arrayBuffer()), map.size[1]);
}

/** Levels from differences to the left neighbour, in rows of `width`. */
export function summed(differences: Uint8Array, width: number): Int8Array {
  const levels = new Int8Array(differences.length);
  let level = 0;
  for (let at = 0; at < levels.length; at++) {
    level = ((at % width ? level : 0) + (differences[at] as number)) & 255;
    levels[at] = level;
  }
  return levels;
}

/** What full colour stands for, of unit `place`: its own largest absolute value, or that of its layer. */
export function fullColour(map: ActivationMap, place: number, scale: "unit" | "layer"): number {
  if (scale === "unit" && !isSingle(map)) return map.scales[place] || 1;
  return map.scales.reduce<number>((most, one) => Math.max(most, one ?? 0), 0) || 1;
}

/** Whether there is one value a unit. Each would be the largest of its own: they are always in the scale of the layer. */
export function isSingle(map: ActivationMap): boolean {
  return map.size[0] * map.size[1] === 1;
}

/** The value of unit `place` at a position. */
export function valueAt(map: ActivationMap, levels: Int8Array, place: number, row: number, column: number): number {
  const [height, width] = map.size;
  return ((levels[(place * height + row) * width + column] ?? 0) / 127) * (map.scales[place] ?? 0);
}

/** A unit's map as red, green, blue and cover, a pixel a position; `full` is what full colour stands for. */
export function coloured(map: ActivationMap, levels: Int8Array, place: number, full: number): Uint8ClampedArray<ArrayBuffer> {
  const count = map.size[0] * map.size[1];
  const pixels = new Uint8ClampedArray(4 * count);
  const gain = (map.scales[place] ?? 0) / 127 / full;
  for (let at = 0; at < count; at++) {
    const share = (levels[place * count + at] ?? 0) * gain;
    pixels.set(share < 0 ? NEGATIVE : POSITIVE, 4 * at);
    pixels[4 * at + 3] = 255 * Math.min(1, Math.abs(share)) ** COVER;
  }
  return pixels;
}

/** Rectangle [left, top, width, height] of a map in a picture [width, height] of an image of `input`; no box: all of it. */
export function mapRectangle(box: Box | null, input: Pair, [width, height]: [number, number]): [number, number, number, number] {
  if (!box) return [0, 0, width, height];
  const [top, left, bottom, right] = box;
  const [across, down] = [width / input[1], height / input[0]];
  return [left * across, top * down, (right - left) * across, (bottom - top) * down];
}

/** The position [row, column] under a point of the picture, given as shares of its height and width; null: none. */
export function positionAt(map: ActivationMap, input: Pair | null, [down, across]: [number, number]): Pair | null {
  const [rows, columns] = map.size;
  const [left, top, width, height] = mapRectangle(input && map.box, input ?? [1, 1], [1, 1]);
  const [row, column] = [Math.floor(((down - top) / height) * rows), Math.floor(((across - left) / width) * columns)];
  return row >= 0 && row < rows && column >= 0 && column < columns ? [row, column] : null;
}
