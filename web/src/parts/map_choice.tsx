/** Which image a layer's activation maps are of: one of a few, as small pictures. */

import type { Atlas } from "../data/atlas";
import type { ActivationMap, LayerInfo, MapImages } from "../data/contract";
import { Tile } from "../pictures/tile";
import { useLoaded, useWords } from "../state/app";

const SIDE = 56;

/** What is known of a layer's maps for one image; each is null until it is there. */
export interface ChosenMap {
  images: MapImages | null;
  map: ActivationMap | null;
  levels: Int8Array | null;
  error: Error | null;
}

/** The maps of the image whose id is `image`, or of the first one. `wanted`: nothing is loaded without. */
export function useMapOf(atlas: Atlas, layer: LayerInfo, wanted: boolean, image: string | undefined): ChosenMap {
  const load = wanted && layer.hasMaps;
  const images = useLoaded(() => (load ? atlas.mapImages() : null), [atlas, load]);
  const maps = useLoaded(() => (load ? atlas.maps(layer) : null), [atlas, layer, load]);
  const place = images.value ? images.value.ids.findIndex((id) => String(id) === image) : -1;
  const map = (images.value && (maps.value?.find((one) => one.image === place) ?? maps.value?.[0])) || null;
  const levels = useLoaded(() => (map ? atlas.levels(layer, map) : null), [atlas, layer, map]);
  return { images: images.value, map, levels: levels.value, error: images.error ?? maps.error ?? levels.error };
}

/** "goldfish (n01443537_1.jpg)" */
export function imageName(images: MapImages, place: number): string {
  const [label, source] = [images.labels[place], images.sources[place] ?? ""];
  return label ? `${label} (${source})` : source;
}

interface MapChoiceProps {
  /** Null: not loaded yet; room is kept for so many. */
  images: MapImages | null;
  count: number;
  /** Place of the image that is chosen. */
  chosen: number | null;
  choose: (place: number) => void;
}

export function MapChoice({ images, count, chosen, choose }: MapChoiceProps) {
  const words = useWords();
  const move = (event: KeyboardEvent & { currentTarget: HTMLElement }, count: number) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = ((chosen ?? 0) + step + count) % count;
    choose(next);
    (event.currentTarget.parentElement?.children[next] as HTMLElement | undefined)?.focus();
  };
  return (
    <div class="map-choice" role="radiogroup" aria-label={words.maps.choose} data-not-copied>
      {!images && Array.from({ length: count }, (_, place) => <span key={place} />)}
      {images?.ids.map((id, place) => (
        <button
          type="button"
          role="radio"
          key={id}
          aria-checked={place === chosen}
          aria-label={imageName(images, place)}
          title={imageName(images, place)}
          tabIndex={place === chosen ? 0 : -1}
          onClick={() => choose(place)}
          onKeyDown={(event) => move(event, images.ids.length)}
        >
          <Tile set={images.pictures} number={place} size={SIDE} label="" />
        </button>
      ))}
    </div>
  );
}
