/** What one filter does with each of the images whose activation maps are kept. */

import { useState } from "preact/hooks";
import type { Atlas } from "../data/atlas";
import type { ActivationMap, LayerInfo, MapImages, Pair } from "../data/contract";
import { positionAt, valueAt } from "../data/maps";
import { plain } from "../numbers";
import { MapTile, isLaid } from "../pictures/map_tile";
import { Tile } from "../pictures/tile";
import { useAddress, useApp, useLoaded } from "../state/app";
import { fill } from "../words";
import type { FilterProps } from "./filter_body";
import { HowTo } from "./how_to";
import { imageName } from "./map_choice";
import { MapLegend } from "./map_legend";
import { Trouble } from "./trouble";

/** Pixels that a picture is drawn with; on the screen it is as wide as there is room. */
const SIDE = 112;

export function FilterMaps({ atlas, layer, data, place }: FilterProps) {
  const { words } = useApp();
  const images = useLoaded(() => (layer.hasMaps ? atlas.mapImages() : null), [atlas, layer]);
  const maps = useLoaded(() => (layer.hasMaps ? atlas.maps(layer) : null), [atlas, layer]);
  if (!layer.hasMaps) return null;
  const error = images.error ?? maps.error;
  const full = maps.value?.reduce((most, one) => Math.max(most, one.scales[place] ?? 0), 0) || 1;
  const unit = data.units[place] ?? place;
  return (
    <section class="filter-maps" role="group" aria-label={words.maps.title}>
      <header>
        <h2>{words.maps.title}</h2>
        {maps.value && <MapLegend end={plain(full)} />}
      </header>
      {error ? (
        <Trouble error={error} />
      ) : (
        <ul>
          {images.value && maps.value
            ? maps.value.map((map) => (
                <MapOfImage
                  key={map.image}
                  {...{ atlas, layer, place, unit, full, map }}
                  images={images.value}
                  input={atlas.manifest.inputSize}
                />
              ))
            : // Their room is kept: what stands below does not move when they come.
              Array.from({ length: atlas.manifest.mapImages }, (_, number) => <li key={number} class="awaited" />)}
        </ul>
      )}
      <p class="caption">{words.maps.oneScale}</p>
      <HowTo about="map" />
    </section>
  );
}

interface MapOfImageProps {
  atlas: Atlas;
  layer: LayerInfo;
  images: MapImages;
  map: ActivationMap;
  input: Pair | null;
  place: number;
  unit: number;
  full: number;
}

function MapOfImage({ atlas, layer, images, map, input, place, unit, full }: MapOfImageProps) {
  const { words } = useApp();
  const to = useAddress(atlas);
  const levels = useLoaded(() => atlas.levels(layer, map), [atlas, layer, map]);
  const [under, setUnder] = useState<Pair | null>(null);
  const name = imageName(images, map.image);
  const largest = map.largest[place] ?? null;
  const off = largest !== null && largest <= 0;
  const laid = isLaid(map, images, input);
  const query = { tile: "map", image: String(images.ids[map.image]), sort: "image_max" };
  const look = (event: PointerEvent & { currentTarget: HTMLElement }) => {
    const box = event.currentTarget.getBoundingClientRect();
    const point: Pair = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    setUnder(positionAt(map, laid ? input : null, point));
  };
  const label = fill(off ? words.maps.labelOff : words.maps.label, { unit, layer: layer.name, image: name, value: plain(largest) });
  return (
    <li>
      <a href={to({ kind: "layer", layer: layer.name }, query)} title={fill(words.maps.all, { image: name })}>
        {!laid && <Tile set={images.pictures} number={map.image} size={SIDE} label="" />}
        <span class="under-pointer" onPointerMove={look} onPointerLeave={() => setUnder(null)}>
          <MapTile {...{ images, map, place, full, input, label }} levels={levels.value} size={SIDE} />
        </span>
        <span class="under">
          <span class="clipped" dir="auto">
            {images.labels[map.image] ?? images.sources[map.image]}
          </span>
          {under && levels.value ? (
            <i>{plain(valueAt(map, levels.value, place, ...under))}</i>
          ) : (
            <b class={off ? "off" : ""}>{plain(largest)}</b>
          )}
        </span>
      </a>
      {levels.error && <Trouble error={levels.error} />}
    </li>
  );
}
