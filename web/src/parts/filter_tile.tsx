/** A filter as a tile: its picture, its number, and whether it is at work. */

import type { Atlas } from "../data/atlas";
import type { ActivationMap, LayerData, LayerInfo, MapImages, Pair } from "../data/contract";
import { labelClass, labelName } from "../data/functions";
import { fullColour } from "../data/maps";
import { percent, plain } from "../numbers";
import { MapTile } from "../pictures/map_tile";
import { Tile } from "../pictures/tile";
import { useAddress, useWords } from "../state/app";
import { asleep } from "../state/selection";
import { fill } from "../words";
import { Histogram } from "./histogram";

export type Shows = "optimum" | "patch" | "kernel" | "effective" | "statistics" | "map";

/** The maps that tiles show: of one image, in one way. */
export interface ShownMaps {
  images: MapImages;
  map: ActivationMap;
  levels: Int8Array | null;
  scale: "unit" | "layer";
  input: Pair | null;
}

interface FilterTileProps {
  /** Whose filter it is; without: the atlas that is shown. */
  atlas?: Atlas;
  layer: LayerInfo;
  data: LayerData;
  place: number;
  shows: Shows;
  size: number;
  /** Of tiles that show a map. */
  maps?: ShownMaps | undefined;
  /** A number beside the index. */
  value?: string;
}

export function FilterTile({ atlas, layer, data, place, shows, size, maps, value }: FilterTileProps) {
  const words = useWords();
  const to = useAddress(atlas);
  const unit = data.units[place] ?? place;
  const states = asleep(data, place);
  const why = states.map((state) => words.layer.asleep[state]).join(", ");
  const does = data.functions?.[place]?.label;
  const named = does && labelName(does, words);
  const label = [fill(words.layer.filterLabel, { layer: layer.name, unit }), value, named, why].filter(Boolean).join(", ");
  return (
    <a
      class={`filter-tile ${states[0] ?? "awake"}`}
      href={to({ kind: "filter", layer: layer.name, unit })}
      aria-label={label}
      data-item
      style={{ width: `${size}px` }}
      title={named}
    >
      <span class="frame" style={{ width: `${size}px`, height: `${size}px` }}>
        <Shown layer={layer} data={data} place={place} shows={shows} size={size} maps={maps} />
        {does && <span class={`does function-${labelClass(does)}`} />}
        {why && <span class="asleep">{why}</span>}
      </span>
      <span class="under">
        <b>{unit}</b>
        {value && <span>{value}</span>}
      </span>
    </a>
  );
}

function Shown({ layer, data, place, shows, size, maps }: FilterTileProps) {
  const words = useWords();
  if (shows === "statistics") {
    const histogram = data.histograms?.[place]?.image;
    const fires = data.numbers["image_firing_rate"]?.[place];
    return (
      <span class="statistics">
        {histogram && <Histogram histogram={histogram} width={size - 12} height={Math.round(size * 0.5)} />}
        <span>{percent(fires)}</span>
        <small>{plain(data.numbers["activation_max"]?.[place])}</small>
      </span>
    );
  }
  if (shows === "map") {
    if (!maps) return null;
    return <MapTile {...maps} place={place} full={fullColour(maps.map, place, maps.scale)} size={size} label="" />;
  }
  if (shows === "kernel") return <KernelPicture data={data} place={place} size={size} />;
  const set = data.pictures[shows];
  const there = {
    optimum: data.optima[place]?.length,
    patch: data.patches[place]?.length,
    effective: data.effective?.[place],
  }[shows];
  if (!set || !there) return <span class="no-picture">{words.layer.noPicture}</span>;
  return <Tile set={set} number={place} size={size} label="" pixelated={hasFewPixels(layer)} />;
}

/** A unit's kernel: in colour one picture, deeper its strongest slices side by side. */
export function KernelPicture({ data, place, size }: { data: LayerData; place: number; size: number }) {
  const set = data.pictures.kernel;
  if (!set) return null;
  const slices = data.slices?.[place]?.length ?? 0;
  if (slices <= 1) return <Tile set={set} number={place * set.perUnit} size={size} label="" pixelated />;
  const across = Math.ceil(Math.sqrt(slices));
  const side = Math.floor((size - (across - 1) * 2) / across);
  return (
    <span class="slices" style={{ gridTemplateColumns: `repeat(${across}, ${side}px)` }}>
      {Array.from({ length: slices }, (_, slice) => (
        <Tile key={slice} set={set} number={place * set.perUnit + slice} size={side} label="" pixelated />
      ))}
    </span>
  );
}

/** Whether the pixels of what a layer sees are best shown as squares. */
export function hasFewPixels(layer: LayerInfo): boolean {
  return layer.fieldSize !== null && Math.max(...layer.fieldSize) <= 24;
}
