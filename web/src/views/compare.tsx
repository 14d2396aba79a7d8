/** Two filters, two layers, or the same place of two atlases, side by side. */

import type { Atlas } from "../data/atlas";
import type { LayerData, LayerInfo } from "../data/contract";
import { formatted } from "../numbers";
import { FilterBody } from "../parts/filter_body";
import { FilterTile } from "../parts/filter_tile";
import { Field, fieldName } from "../parts/field";
import { Grid } from "../parts/grid";
import { Trouble } from "../parts/trouble";
import { go, useAddress, useApp, useLoaded } from "../state/app";
import type { Place } from "../state/route";
import { fill } from "../words";
import { layerFacts, shownKinds } from "./layer";

interface Side {
  place: Place;
  atlas: Atlas | undefined;
  layer: LayerInfo | undefined;
  data: LayerData | null;
  error: Error | null;
}

export function CompareView({ places }: { places: Place[] }) {
  const { atlases, words, route } = useApp();
  const to = useAddress();
  const first = places[0] ?? { atlas: route.atlas, layer: atlases[0]?.manifest.layers[0]?.name ?? "", unit: 0 };
  const second = places[1] ?? otherPlace(first, atlases);
  const left = useSide(first);
  const right = useSide(second);
  const set = (one: Place, other: Place) => go(to({ kind: "compare", places: [one, other] }));
  return (
    <div class="compare-view">
      <header class="view-head">
        <div>
          <h1>{words.compare.title}</h1>
          <p class="facts">{words.compare.help}</p>
        </div>
        <button type="button" onClick={() => set(second, first)} data-not-copied>
          ⇄ {words.compare.swap}
        </button>
      </header>
      <div class="compare-sides">
        <Chooser name={words.compare.left} place={first} choose={(place) => set(place, second)} />
        <Chooser name={words.compare.right} place={second} choose={(place) => set(first, place)} />
      </div>
      {[left, right].some((side) => side.layer && !side.data && !side.error) ? (
        // Both at once: where the sides stand below each other, the first would push the second down.
        <Trouble error={null} />
      ) : (
        <div class="compare-sides">
          <Body side={left} />
          <Body side={right} />
        </div>
      )}
      <Differences left={left} right={right} />
    </div>
  );
}

/** What stands on the right before anything was chosen: the same place of the next atlas, or the next filter. */
function otherPlace(first: Place, atlases: Atlas[]): Place {
  if (atlases.length > 1) return { ...first, atlas: (first.atlas + 1) % atlases.length };
  return { ...first, unit: first.unit === null ? null : first.unit + 1 };
}

function useSide(place: Place): Side {
  const { atlases } = useApp();
  const atlas = atlases[place.atlas];
  const layer = atlas?.layerNamed(place.layer);
  const data = useLoaded(() => (atlas && layer ? atlas.layer(layer) : null), [atlas, layer]);
  return { place, atlas, layer, data: data.value, error: data.error };
}

interface ChooserProps {
  name: string;
  place: Place;
  choose: (place: Place) => void;
}

function Chooser({ name, place, choose }: ChooserProps) {
  const { atlases, words } = useApp();
  const atlas = atlases[place.atlas];
  const layer = atlas?.layerNamed(place.layer);
  return (
    <fieldset class="chooser" data-not-copied>
      <legend>{name}</legend>
      {atlases.length > 1 && (
        <select
          aria-label={`${name}: ${words.nav.atlas}`}
          value={String(place.atlas)}
          onChange={(event) => choose({ ...place, atlas: Number(event.currentTarget.value) })}
        >
          {atlases.map((one, number) => (
            <option key={one.key} value={String(number)}>
              {one.manifest.title}
            </option>
          ))}
        </select>
      )}
      <select
        aria-label={`${name}: ${words.compare.layer}`}
        value={place.layer}
        onChange={(event) => choose({ ...place, layer: event.currentTarget.value, unit: place.unit === null ? null : 0 })}
      >
        {!layer && <option value={place.layer}>{place.layer}</option>}
        {(atlas?.manifest.layers ?? []).map((one) => (
          <option key={one.name} value={one.name}>
            {one.name}
          </option>
        ))}
      </select>
      <label>
        {words.compare.unit}{" "}
        <input
          type="number"
          min={0}
          max={(layer?.channels ?? 1) - 1}
          placeholder={words.compare.all}
          value={place.unit ?? ""}
          onChange={(event) => {
            const text = event.currentTarget.value;
            choose({ ...place, unit: text === "" ? null : Math.max(0, Math.floor(Number(text))) });
          }}
        />
      </label>
    </fieldset>
  );
}

function Body({ side: { place, atlas, layer, data, error } }: { side: Side }) {
  const { words } = useApp();
  const to = useAddress(atlas);
  if (!atlas || !layer) return <p class="note">{fill(words.notFound.layer, { name: place.layer })}</p>;
  if (!data) return <Trouble error={error} />;
  if (place.unit !== null && place.unit >= layer.channels)
    return <p class="note">{fill(words.notFound.unit, { layer: layer.name, unit: place.unit, n: layer.channels })}</p>;
  if (place.unit === null) return <LayerSide atlas={atlas} layer={layer} data={data} />;
  return (
    <div class="compare-side">
      <h2>
        <a href={to({ kind: "filter", layer: layer.name, unit: place.unit })}>
          {layer.name}:{place.unit}
        </a>
      </h2>
      <FilterBody atlas={atlas} layer={layer} data={data} place={data.units.indexOf(place.unit)} beside />
    </div>
  );
}

function LayerSide({ atlas, layer, data }: { atlas: Atlas; layer: LayerInfo; data: LayerData }) {
  const { words } = useApp();
  const to = useAddress(atlas);
  const shows = shownKinds(data)[0] ?? "statistics";
  return (
    <div class="compare-side">
      <h2>
        <a href={to({ kind: "layer", layer: layer.name })}>{layer.name}</a>
      </h2>
      <div class="layer-facts">
        <Field manifest={atlas.manifest} layer={layer} size={72} words={words} />
        <p class="facts">
          {layerFacts(layer, words)} · {fill(words.layer.sees, { field: fieldName(layer, words) })}
        </p>
      </div>
      <Grid
        label={fill(words.layer.grid, { layer: layer.name })}
        count={data.units.length}
        size={72}
        captions={24}
        item={(place) => (
          <FilterTile atlas={atlas} layer={layer} data={data} place={place} shows={shows} size={72} />
        )}
      />
    </div>
  );
}

/** Number by number: of two filters their own, of two layers the medians. */
function Differences({ left, right }: { left: Side; right: Side }) {
  const { words } = useApp();
  if (!left.atlas || !left.layer || !right.layer || !left.data || !right.data) return null;
  const value = (side: Side, column: string): number | null => {
    if (side.place.unit === null) return side.layer?.medians[column] ?? null;
    return side.data?.numbers[column]?.[side.data.units.indexOf(side.place.unit)] ?? null;
  };
  const rows = left.atlas.manifest.columns
    .map((column) => ({ column, one: value(left, column.id), other: value(right, column.id) }))
    .filter(({ one, other }) => one !== null || other !== null);
  if (!rows.length) return null;
  return (
    <section class="differences" aria-label={words.compare.difference}>
      <h2>{words.compare.difference}</h2>
      <ul>
        {rows.map(({ column, one, other }) => {
          const most = Math.max(Math.abs(one ?? 0), Math.abs(other ?? 0)) || 1;
          return (
            <li key={column.id} title={words.columnHelp[column.id]}>
              <span class="value">{formatted(column.kind, one)}</span>
              <span class="bar left">
                <span style={{ width: `${(Math.abs(one ?? 0) / most) * 100}%` }} />
              </span>
              <span class="name">{words.columns[column.id] ?? column.id}</span>
              <span class="bar">
                <span style={{ width: `${(Math.abs(other ?? 0) / most) * 100}%` }} />
              </span>
              <span class="value">{formatted(column.kind, other)}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
