/** The whole image as the network sees it, with the area that one patch comes from. */

import type { Images, Manifest, PatchInfo } from "../data/contract";
import { plain } from "../numbers";
import { Tile, shown } from "../pictures/tile";
import { useWords } from "../state/app";
import { fill } from "../words";
import { HowTo } from "./how_to";

const SIDE = 196;

interface PatchInImageProps {
  manifest: Manifest;
  images: Images | null;
  patch: PatchInfo;
  /** Saves the patch. */
  save: (() => void) | undefined;
}

export function PatchInImage({ manifest, images, patch, save }: PatchInImageProps) {
  const words = useWords();
  const set = images?.pictures;
  const size = manifest.inputSize;
  if (!images || !set || !size) return <div class="patch-in-image" style={{ minHeight: `${SIDE}px` }} />;
  const source = images.sources[patch.image] ?? "";
  const name = images.labels[patch.image];
  const [width, height] = shown(set, SIDE);
  const [top, left, bottom, right] = patch.box;
  const share = (value: number, length: number) => `${(value / length) * 100}%`;
  return (
    <figure class="patch-in-image">
      <span class="outlined" style={{ width: `${width}px`, height: `${height}px` }}>
        <Tile
          set={set}
          number={patch.image}
          size={SIDE}
          label={fill(words.filter.wholeLabel, { source: [name, source].filter(Boolean).join(", ") })}
          file={source}
        />
        <span
          class="box"
          aria-hidden="true"
          style={{
            top: share(top, size[0]),
            left: share(left, size[1]),
            height: share(bottom - top, size[0]),
            width: share(right - left, size[1]),
          }}
        />
      </span>
      <figcaption>
        {name && (
          <strong dir="auto" class="clipped" title={name}>
            {name}
          </strong>
        )}
        <span dir="auto" class="clipped" title={source}>
          {source}
        </span>
        <span>{plain(patch.activation)}</span>
        {save && (
          <button type="button" class="link" onClick={save} data-not-copied>
            {words.filter.savePatch}
          </button>
        )}
      </figcaption>
      <HowTo about="whole" />
    </figure>
  );
}
