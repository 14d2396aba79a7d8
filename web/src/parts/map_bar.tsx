/** Which image the maps on a layer's tiles are of, and what their colours say. */

import { fullColour, isSingle } from "../data/maps";
import { plain } from "../numbers";
import { isLaid } from "../pictures/map_tile";
import { useWords } from "../state/app";
import { fill } from "../words";
import { Choice } from "./choice";
import type { ShownMaps } from "./filter_tile";
import { type ChosenMap, MapChoice, imageName } from "./map_choice";
import { MapLegend } from "./map_legend";
import { Trouble } from "./trouble";

interface MapBarProps {
  chosen: ChosenMap;
  /** How many images there are. */
  count: number;
  /** Whether the tiles show maps; else the filters are only sorted by them. */
  showing: boolean;
  /** What the tiles show; undefined: not loaded yet. */
  maps: ShownMaps | undefined;
  scale: "unit" | "layer";
  choose: (place: number) => void;
  scaleBy: (scale: "unit" | "layer") => void;
}

/** Everything has its room before it is loaded: the tiles below stay where they are. */
export function MapBar({ chosen: { images, map, error }, count, showing, maps, scale, choose, scaleBy }: MapBarProps) {
  const words = useWords();
  if (error) return <Trouble error={error} />;
  const shared = scale === "layer" || (maps !== undefined && isSingle(maps.map));
  return (
    <div class="map-bar">
      <MapChoice images={images} count={count} chosen={map?.image ?? null} choose={choose} />
      {showing && (
        <>
          <p class="caption" aria-live="polite">
            {maps &&
              fill(isLaid(maps.map, maps.images, maps.input) ? words.maps.of : words.maps.alone, {
                image: imageName(maps.images, maps.map.image),
              })}
          </p>
          <div class="map-scale">
            {words.maps.scale}
            <Choice
              label={words.maps.scale}
              options={(["unit", "layer"] as const).map((id) => ({ id, name: words.maps[id] }))}
              chosen={shared ? "layer" : "unit"}
              choose={scaleBy}
            />
            <MapLegend end={shared ? plain(maps && fullColour(maps.map, 0, "layer")) : words.maps.own} />
          </div>
        </>
      )}
    </div>
  );
}
