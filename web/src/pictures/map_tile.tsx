/** An activation map laid over its image, drawn when it comes into view. */

import { useContext, useLayoutEffect, useRef } from "preact/hooks";
import type { ActivationMap, MapImages, Pair } from "../data/contract";
import { ZERO, coloured, mapRectangle } from "../data/maps";
import { SheetsContext, shown, whenSeen } from "./tile";
import { spot } from "./sheets";

/** Share of white in the grey image under a map, as on the atlas's sheets. */
const PALE = 0.55;

/** Of one that lies nowhere on the image: thin ones can still be seen. */
const THINNEST = 6;

interface MapTileProps {
  images: MapImages;
  map: ActivationMap;
  /** Unpacked; null: not yet. */
  levels: Int8Array | null;
  /** The unit. */
  place: number;
  /** What full colour stands for. */
  full: number;
  /** Of the image, in pixels; null: not known. */
  input: Pair | null;
  /** Longer side in CSS pixels. */
  size: number;
  /** The picture in words; "" where the words beside it say the same. */
  label: string;
  class?: string;
}

export function MapTile({ images, map, levels, place, full, input, size, label, class: name }: MapTileProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const sheets = useContext(SheetsContext);
  const laid = isLaid(map, images, input);
  const [width, height] = laid ? shown(images.pictures, size) : alone(map, size);
  useLayoutEffect(() => {
    const target = canvas.current;
    if (!target || !sheets || !levels) return;
    const where = laid && images.pictures ? spot(images.pictures, map.image) : null;
    const draw = (picture: ImageBitmap | undefined) => {
      const sharp = Math.min(devicePixelRatio || 1, 2);
      target.width = Math.round(width * sharp);
      target.height = Math.round(height * sharp);
      const pen = target.getContext("2d");
      if (!pen) return;
      pen.fillStyle = `rgb(${ZERO.join(" ")})`;
      pen.fillRect(0, 0, target.width, target.height);
      if (picture && where) {
        pen.imageSmoothingQuality = "high";
        pen.drawImage(pale(picture, map.image, where), 0, 0, target.width, target.height);
      }
      pen.imageSmoothingEnabled = false;
      const box = mapRectangle(laid ? map.box : null, input ?? [1, 1], [target.width, target.height]);
      pen.drawImage(inColours(map, levels, place, full), ...box);
      target.dataset["drawn"] = "";
    };
    const known = where && sheets.known(where.sheet);
    if (known) {
      draw(known);
      return;
    }
    let current = true;
    const stop = whenSeen(target, () => {
      if (!where) draw(undefined);
      else
        sheets.bitmap(where.sheet).then(
          (bitmap) => current && draw(bitmap),
          // The map is still worth seeing.
          () => current && draw(undefined),
        );
    });
    return () => {
      current = false;
      stop();
    };
  }, [images, map, levels, place, full, width, height, sheets]);
  return (
    <canvas
      ref={canvas}
      class={`tile map ${name ?? ""}`}
      style={{ width: `${width}px`, height: `${height}px`, aspectRatio: `${width} / ${height}` }}
      {...(label ? { role: "img", "aria-label": label } : { "aria-hidden": true })}
    />
  );
}

/** Whether a map is drawn over its image: it has a place there, and there is a picture of it. */
export function isLaid(map: ActivationMap, images: MapImages, input: Pair | null): boolean {
  return map.box !== null && input !== null && images.pictures !== null;
}

function alone(map: ActivationMap, size: number): [number, number] {
  const longer = Math.max(...map.size);
  return [Math.max(THINNEST, (size * map.size[1]) / longer), Math.max(THINNEST, (size * map.size[0]) / longer)];
}

function inColours(map: ActivationMap, levels: Int8Array, place: number, full: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.height, canvas.width] = map.size;
  canvas.getContext("2d")?.putImageData(new ImageData(coloured(map, levels, place, full), map.size[1]), 0, 0);
  return canvas;
}

const paleOnes = new WeakMap<ImageBitmap, Map<number, HTMLCanvasElement>>();

/** Picture `number` of a sheet in light grey, so that blue and red both stand out from it. */
function pale(
  sheet: ImageBitmap,
  number: number,
  { left, top, width, height }: { left: number; top: number; width: number; height: number },
): HTMLCanvasElement {
  const ofSheet = paleOnes.get(sheet) ?? new Map<number, HTMLCanvasElement>();
  paleOnes.set(sheet, ofSheet);
  let canvas = ofSheet.get(number);
  if (canvas) return canvas;
  canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  ofSheet.set(number, canvas);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (!pen) return canvas;
  pen.drawImage(sheet, left, top, width, height, 0, 0, width, height);
  const pixels = pen.getImageData(0, 0, width, height);
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    const [red = 0, green = 0, blue = 0] = data.subarray(at, at + 3);
    const grey = (0.299 * red + 0.587 * green + 0.114 * blue) * (1 - PALE) + 255 * PALE;
    data[at] = data[at + 1] = data[at + 2] = grey;
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}
