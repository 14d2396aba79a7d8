/** The patches of one filter, where they lie in their images, and what was carried back from the filter to their pixels. */

import { useContext, useState } from "preact/hooks";
import type { Images, LayerData, LayerInfo, PictureSet } from "../data/contract";
import { plain } from "../numbers";
import { savePicture } from "../pictures/save";
import { SheetsContext, Tile } from "../pictures/tile";
import { useApp, useLoaded } from "../state/app";
import { fill } from "../words";
import { Choice } from "./choice";
import type { FilterProps } from "./filter_body";
import { hasFewPixels } from "./filter_tile";
import { HowTo } from "./how_to";
import { PatchInImage } from "./patch_in_image";

/** Sides of a patch by itself, and beside its back-projection. */
const [ALONE, BESIDE] = [96, 84];

export function Patches({ atlas, layer, data, place }: FilterProps) {
  const { words } = useApp();
  const sheets = useContext(SheetsContext);
  const [wanted, setAt] = useState(0);
  const images = useLoaded(() => (data.patches[place]?.length ? atlas.images() : null), [atlas, data, place]);
  const patches = data.patches[place] ?? [];
  const set = data.pictures.patches;
  const unit = data.units[place] ?? place;
  const at = patches[wanted] ? wanted : 0;
  const chosen = patches[at];
  const back = useBackProjections(data, place);
  const file = (rank: number) => `${layer.name}_${unit}_patch_${rank + 1}`;
  const some = { layer, data, place, at, setAt, images: images.value };
  return (
    <section role="group" aria-label={words.filter.patches}>
      {!back && <h2>{words.filter.patches}</h2>}
      {!patches.length && <p class="note">{words.filter.noPatches}</p>}
      <div class={`patches-and-image ${back ? "with-back" : ""}`}>
        {back ? (
          <div class="pair">
            <h2>{words.filter.patches}</h2>
            <h2>{words.filter.backprojections}</h2>
            <PatchGrid {...some} size={BESIDE} file={file} />
            <BackGrid {...some} back={back} />
          </div>
        ) : (
          <PatchGrid {...some} size={ALONE} file={file} />
        )}
        {back && <BackWords back={back} peak={back.peaks[at] ?? null} />}
        {chosen && (
          <PatchInImage
            manifest={atlas.manifest}
            images={images.value}
            patch={chosen}
            save={set && sheets ? () => void savePicture(sheets, set, place * set.perUnit + at, file(at)) : undefined}
          />
        )}
      </div>
      {patches.length > 0 && <HowTo about="patch" />}
    </section>
  );
}

interface GridProps {
  layer: LayerInfo;
  data: LayerData;
  place: number;
  images: Images | null;
  /** Which patch is looked at. */
  at: number;
  setAt: (rank: number) => void;
}

function PatchGrid({ layer, data, place, images, at, setAt, size, file }: GridProps & { size: number; file: (rank: number) => string }) {
  const { words } = useApp();
  const set = data.pictures.patches;
  const patches = data.patches[place] ?? [];
  if (!set || !patches.length) return null;
  return (
    <div class="patches">
      {patches.map((patch, rank) => {
        const source = images?.sources[patch.image] ?? "";
        const name = images?.labels[patch.image] ?? "";
        return (
          <button
            type="button"
            key={rank}
            aria-pressed={rank === at}
            onClick={() => setAt(rank)}
            onMouseEnter={() => setAt(rank)}
            onFocus={() => setAt(rank)}
            title={[name, source, plain(patch.activation), words.filter.saveHint].filter(Boolean).join("\n")}
          >
            <Tile
              set={set}
              number={place * set.perUnit + rank}
              size={size}
              label={fill(words.filter.patchLabel, {
                rank: rank + 1,
                source: [name, source].filter(Boolean).join(", "),
                activation: plain(patch.activation),
              })}
              file={file(rank)}
              pixelated={hasFewPixels(layer)}
              quiet
            />
          </button>
        );
      })}
    </div>
  );
}

/** What was carried back from each patch, in the same order. The keyboard goes through the patches. */
function BackGrid({ layer, data, place, at, setAt, back }: GridProps & { back: Back }) {
  const { words } = useApp();
  const unit = data.units[place] ?? place;
  return (
    <div class="patches back">
      {(data.patches[place] ?? []).map((_, rank) => (
        <span key={rank} class={rank === at ? "chosen" : ""} onMouseEnter={() => setAt(rank)}>
          <Tile
            set={back.set}
            number={place * back.set.perUnit + rank}
            size={BESIDE}
            label={fill(words.filter.backLabel, { rank: rank + 1, method: back.name })}
            file={`${layer.name}_${unit}_${back.method}_${rank + 1}`}
            pixelated={hasFewPixels(layer)}
          />
        </span>
      ))}
    </div>
  );
}

interface Back {
  method: string;
  /** As the reader calls it. */
  name: string;
  methods: string[];
  set: PictureSet & { perUnit: number };
  /** One a patch of the unit. */
  peaks: (number | null)[];
}

/** What was carried back by the method that the reader wants, or by the first there is; null: nothing was. */
function useBackProjections(data: LayerData, place: number): Back | null {
  const { words, settings } = useApp();
  const sets = data.pictures.backprojections ?? {};
  const there = data.backprojections.filter(({ method, peaks }) => sets[method] && peaks[place]?.some((one) => one !== null));
  const chosen = there.find(({ method }) => method === settings.backprojection) ?? there[0];
  const set = chosen && sets[chosen.method];
  if (!chosen || !set) return null;
  const { method } = chosen;
  const name = words.methods[method] ?? method;
  return { method, name, methods: there.map((one) => one.method), set, peaks: chosen.peaks[place] ?? [] };
}

function BackWords({ back, peak }: { back: Back; peak: number | null }) {
  const { words, change } = useApp();
  return (
    <div class="back-words">
      {back.methods.length > 1 && (
        <Choice
          label={words.filter.backMethod}
          options={back.methods.map((id) => ({ id, name: words.methods[id] ?? id }))}
          chosen={back.method}
          choose={(backprojection) => change({ backprojection })}
        />
      )}
      <p class="caption">{fill(words.filter.backScale, { method: back.name, peak: plain(peak) })}</p>
      <HowTo about="backprojection" title={words.filter.misleads} />
    </div>
  );
}
