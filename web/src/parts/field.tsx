/** A receptive field to scale: the part of the photograph that is seen is bright, the rest faint. */

import { useContext, useEffect, useRef } from "preact/hooks";
import type { LayerInfo, Manifest, Pair } from "../data/contract";
import { SheetsContext, shown, whenSeen } from "../pictures/tile";
import { spot } from "../pictures/sheets";
import { fill } from "../words";
import type { Words } from "../words/en";

/** "31 × 31 px", "the whole image", ... */
export function fieldName(layer: LayerInfo, words: Words): string {
  if (layer.wholeImage) return words.layer.wholeImage;
  if (!layer.fieldSize) return words.layer.unknownField;
  const [height, width] = layer.fieldSize;
  return `${width}\u202f×\u202f${height}\u00a0px`;
}

/** The field's rows and columns in the middle of the image; null: the whole image, or unknown. */
export function middleBox(layer: LayerInfo, image: Pair): [number, number, number, number] | null {
  if (!layer.fieldSize || layer.wholeImage) return null;
  const [top, bottom] = middle(layer.fieldSize[0], image[0]);
  const [left, right] = middle(layer.fieldSize[1], image[1]);
  return [top, left, bottom, right];
}

function middle(size: number, length: number): [number, number] {
  const shownSize = Math.min(size, length);
  const start = (length - shownSize) / 2;
  return [start, start + shownSize];
}

interface FieldProps {
  manifest: Manifest;
  layer: LayerInfo;
  size: number;
  words: Words;
}

export function Field({ manifest, layer, size, words }: FieldProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const sheets = useContext(SheetsContext);
  const set = manifest.photographPicture;
  const image = manifest.inputSize ?? layer.fieldSize ?? [1, 1];
  const [width, height] = set ? shown(set, size) : [size, Math.round((size * image[0]) / image[1])];
  const box = middleBox(layer, image);
  useEffect(() => {
    const target = canvas.current;
    if (!target) return;
    let current = true;
    const place = set && spot(set, 0);
    const stop = whenSeen(target, () => {
      const bitmap = place && sheets ? sheets.bitmap(place.sheet) : Promise.resolve(null);
      bitmap.then(
        (picture) => current && draw(target, width, height, picture, place, box, image),
        () => current && draw(target, width, height, null, null, box, image),
      );
    });
    return () => {
      current = false;
      stop();
    };
  }, [set, width, height, layer, sheets]);
  const template = set ? words.overview.photograph : words.overview.noPhotograph;
  const label = fill(template, { layer: layer.name, field: fieldName(layer, words), image: image.join(" × ") });
  return (
    <canvas
      ref={canvas}
      class="field"
      role="img"
      aria-label={label}
      style={{ width: `${width}px`, height: `${height}px` }}
    />
  );
}

function draw(
  canvas: HTMLCanvasElement,
  width: number,
  height: number,
  picture: ImageBitmap | null,
  place: ReturnType<typeof spot>,
  box: [number, number, number, number] | null,
  image: Pair,
): void {
  const sharp = Math.min(devicePixelRatio || 1, 2);
  canvas.width = width * sharp;
  canvas.height = height * sharp;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.scale(sharp, sharp);
  const [top, left, bottom, right] = box ?? [0, 0, image[0], image[1]];
  const [x, y] = [(left / image[1]) * width, (top / image[0]) * height];
  const [w, h] = [((right - left) / image[1]) * width, ((bottom - top) / image[0]) * height];
  const paint = () => {
    if (picture && place)
      pen.drawImage(picture, place.left, place.top, place.width, place.height, 0, 0, width, height);
    else {
      pen.fillStyle = "#9aa3ad";
      pen.fillRect(0, 0, width, height);
    }
  };
  // Faint by letting the paper through: right in either theme.
  pen.globalAlpha = 0.26;
  paint();
  pen.globalAlpha = 1;
  pen.save();
  pen.beginPath();
  pen.rect(x, y, w, h);
  pen.clip();
  paint();
  pen.restore();
  if (box) {
    pen.strokeStyle = "#e2542b";
    pen.lineWidth = 1.5;
    pen.strokeRect(x - 0.75, y - 0.75, Math.max(w, 1) + 1.5, Math.max(h, 1) + 1.5);
  }
  canvas.dataset["drawn"] = "";
}
