/** One picture of a set, drawn when it comes into view. */

import { useContext, useLayoutEffect, useRef } from "preact/hooks";
import { createContext } from "preact";
import type { PictureSet } from "../data/contract";
import { type Sheets, spot } from "./sheets";
import { useWords } from "../state/app";
import { savePicture } from "./save";

export const SheetsContext = createContext<Sheets | null>(null);

interface TileProps {
  set: PictureSet | null | undefined;
  number: number;
  /** Longer side on the screen, in CSS pixels. */
  size: number;
  /** The picture in words; "" where the words beside it say the same. */
  label: string;
  /** Name under which the picture is saved; without: it is not offered. */
  file?: string;
  /** Square pixels instead of a smooth enlargement. */
  pixelated?: boolean;
  /** What is around it says already what can be done with it. */
  quiet?: boolean;
  class?: string;
}

export function Tile({ set, number, size, label, file, pixelated, quiet, class: name }: TileProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const sheets = useContext(SheetsContext);
  const words = useWords();
  const [width, height] = shown(set, size);
  useLayoutEffect(() => {
    const target = canvas.current;
    const place = set && spot(set, number);
    if (!target || !sheets) return;
    if (!place) {
      // Nothing of what was drawn here before stays.
      target.width = 0;
      return;
    }
    const draw = (bitmap: ImageBitmap) => {
      const sharp = Math.min(devicePixelRatio || 1, 2);
      target.width = Math.round(width * sharp);
      target.height = Math.round(height * sharp);
      const pen = target.getContext("2d");
      if (!pen) return;
      pen.imageSmoothingEnabled = !pixelated || width * sharp < place.width;
      pen.imageSmoothingQuality = "high";
      pen.drawImage(bitmap, place.left, place.top, place.width, place.height, 0, 0, target.width, target.height);
      target.dataset["drawn"] = "";
    };
    const known = sheets.known(place.sheet);
    if (known) {
      draw(known);
      return;
    }
    let current = true;
    const stop = whenSeen(target, () => {
      sheets.bitmap(place.sheet).then(
        (bitmap) => current && draw(bitmap),
        () => {
          target.dataset["lost"] = "";
        },
      );
    });
    return () => {
      current = false;
      stop();
    };
  }, [set, number, width, height, pixelated, sheets]);
  return (
    <canvas
      ref={canvas}
      class={`tile ${name ?? ""}`}
      // With the ratio: a canvas that nothing was drawn on yet is twice as wide as it is high.
      style={{ width: `${width}px`, height: `${height}px`, aspectRatio: `${width} / ${height}` }}
      {...(label ? { role: "img", "aria-label": label } : { "aria-hidden": true })}
      data-file={file}
      title={file && !quiet ? words.filter.saveHint : undefined}
      onDblClick={file && set && sheets ? () => void savePicture(sheets, set, number, file) : undefined}
    />
  );
}

/** [width, height] on the screen of a tile whose longer side is `size`. */
export function shown(set: PictureSet | null | undefined, size: number): [number, number] {
  if (!set) return [size, size];
  const [height, width] = set.tile;
  const longer = Math.max(height, width);
  return [Math.round((size * width) / longer), Math.round((size * height) / longer)];
}

const actions = new WeakMap<Element, () => void>();
let observer: IntersectionObserver | null = null;

/** Call `action` once `element` is near the screen; returns how to give up waiting. */
export function whenSeen(element: Element, action: () => void): () => void {
  observer ??= new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        observer?.unobserve(entry.target);
        actions.get(entry.target)?.();
        actions.delete(entry.target);
      }
    },
    { rootMargin: "300px" },
  );
  actions.set(element, action);
  observer.observe(element);
  return () => {
    actions.delete(element);
    observer?.unobserve(element);
  };
}
