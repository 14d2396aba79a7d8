/** Many pictures of a set in one canvas: thousands of elements of their own would be slow. */

import { useContext, useEffect, useRef } from "preact/hooks";
import type { PictureSet } from "../data/contract";
import { spot } from "./sheets";
import { SheetsContext, shown, whenSeen } from "./tile";

export const STRIP_GAP = 2;

interface StripProps {
  set: PictureSet | undefined;
  /** Number of the first picture, and how many of those that follow are shown. */
  first: number;
  count: number;
  across: number;
  /** Side of a tile in CSS pixels. */
  tile: number;
  pixelated?: boolean;
}

/** [width, height] of a strip in CSS pixels. */
export function stripSize(count: number, across: number, tile: number): [number, number] {
  const step = tile + STRIP_GAP;
  return [Math.min(across, count) * step - STRIP_GAP, Math.ceil(count / across) * step - STRIP_GAP];
}

export function Strip({ set, first, count, across, tile, pixelated }: StripProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const sheets = useContext(SheetsContext);
  const [width, height] = stripSize(count, across, tile);
  useEffect(() => {
    const target = canvas.current;
    if (!target || !set || !sheets) return;
    let current = true;
    const stop = whenSeen(target, () => {
      const sharp = Math.min(devicePixelRatio || 1, 2);
      target.width = width * sharp;
      target.height = height * sharp;
      const pen = target.getContext("2d");
      if (!pen) return;
      pen.scale(sharp, sharp);
      pen.imageSmoothingQuality = "high";
      pen.imageSmoothingEnabled = !pixelated || tile * sharp < Math.max(...set.tile);
      const [w, h] = shown(set, tile);
      const step = tile + STRIP_GAP;
      const drawn: Promise<void>[] = [];
      for (let place = 0; place < count; place++) {
        const from = spot(set, first + place);
        if (!from) continue;
        const x = (place % across) * step + (tile - w) / 2;
        const y = Math.floor(place / across) * step + (tile - h) / 2;
        drawn.push(
          sheets.bitmap(from.sheet).then(
            (bitmap) => {
              if (current) pen.drawImage(bitmap, from.left, from.top, from.width, from.height, x, y, w, h);
            },
            () => undefined,
          ),
        );
      }
      void Promise.all(drawn).then(() => {
        if (current) target.dataset["drawn"] = "";
      });
    });
    return () => {
      current = false;
      stop();
    };
  }, [set, sheets, first, count, across, tile, width, height]);
  return <canvas ref={canvas} class="strip" aria-hidden="true" style={{ width: `${width}px`, height: `${height}px` }} />;
}
