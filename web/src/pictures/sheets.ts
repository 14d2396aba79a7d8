/** Picture sheets, decoded when a picture of theirs comes into view, the latest few kept. */

import type { PictureSet } from "../data/contract";
import type { DataSource } from "../data/source";

/** Decoded sheets of at most 16 MB each. */
const KEPT = 24;

export class Sheets {
  private readonly decoded = new Map<string, Promise<ImageBitmap>>();
  private readonly ready = new Map<string, ImageBitmap>();

  constructor(private readonly source: DataSource) {}

  bitmap(name: string): Promise<ImageBitmap> {
    let asked = this.decoded.get(name);
    if (asked) this.decoded.delete(name);
    else {
      asked = this.decode(name);
      asked.then(
        (bitmap) => this.decoded.has(name) && this.ready.set(name, bitmap),
        () => this.decoded.delete(name),
      );
    }
    // Maps keep their order: the first is the one that was used longest ago.
    this.decoded.set(name, asked);
    while (this.decoded.size > KEPT) {
      const oldest = this.decoded.keys().next().value as string;
      this.decoded.delete(oldest);
      this.ready.delete(oldest);
    }
    return asked;
  }

  /** A sheet that is decoded already; to be drawn at once, not a frame later. */
  known(name: string): ImageBitmap | undefined {
    return this.ready.get(name);
  }

  private async decode(name: string): Promise<ImageBitmap> {
    const image = new Image();
    image.src = await this.source.shard<string>(name);
    await image.decode();
    return createImageBitmap(image);
  }
}

export interface Spot {
  sheet: string;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Where picture `number` of a set lies; null: the set has no such picture. */
export function spot(set: PictureSet, number: number): Spot | null {
  const sheet = set.sheets[Math.floor(number / set.perSheet)];
  if (number < 0 || sheet === undefined) return null;
  const within = number % set.perSheet;
  return {
    sheet,
    left: (within % set.columns) * set.step[1],
    top: Math.floor(within / set.columns) * set.step[0],
    width: set.tile[1],
    height: set.tile[0],
  };
}
