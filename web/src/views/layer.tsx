/** One layer: every filter as a tile, sorted and kept by any number of the atlas. */

import type { Column, LayerData, LayerInfo } from "../data/contract";
import { big, formatted } from "../numbers";
import { Choice } from "../parts/choice";
import { Conditions } from "../parts/conditions";
import { Field, fieldName } from "../parts/field";
import { FilterTile, type Shows } from "../parts/filter_tile";
import { FunctionChoice } from "../parts/function_choice";
import { Grid } from "../parts/grid";
import { HowTo } from "../parts/how_to";
import { LayerFindings } from "../parts/layer_findings";
import { MapBar } from "../parts/map_bar";
import { useMapOf } from "../parts/map_choice";
import { Trouble } from "../parts/trouble";
import { saveTable } from "../pictures/save";
import { go, replace, useAddress, useApp, useLoaded } from "../state/app";
import { useKeys } from "../state/keys";
import { ASLEEP, type Asleep, type Selection, asleep, readSelection, selected, writeSelection } from "../state/selection";
import { fill } from "../words";
import type { Words } from "../words/en";
import { NotFound } from "./not_found";

const SIZES = [64, 88, 112, 176];

/** What tiles can show, in the order of the digits that choose it. */
const DIGITS = ["optimum", "patch", "kernel", "statistics", "map", "effective"] as const;

/** A number that the atlas does not have by itself: it is of the image that is chosen. */
const OF_IMAGE: Column = { id: "image_max", kind: "number" };

export function LayerView({ name }: { name: string }) {
  const { atlas, words } = useApp();
  const layer = atlas.layerNamed(name);
  const data = useLoaded(() => (layer ? atlas.layer(layer) : null), [atlas, layer]);
  const diagnosis = useLoaded(() => (atlas.manifest.hasDiagnosis ? atlas.diagnosis() : null), [atlas]);
  if (!layer) return <NotFound what="layer" values={{ name }} />;
  // Both at once: what comes later would push the filters down.
  const judged = !atlas.manifest.hasDiagnosis || diagnosis.value || diagnosis.error;
  return (
    <div class="layer-view">
      <LayerHead layer={layer} words={words} />
      {diagnosis.error && <Trouble error={diagnosis.error} />}
      {data.value && diagnosis.value && <LayerFindings layer={layer} diagnosis={diagnosis.value} />}
      {data.value && judged ? <Filters layer={layer} data={data.value} /> : <Trouble error={data.error} />}
    </div>
  );
}

function LayerHead({ layer, words }: { layer: LayerInfo; words: Words }) {
  const { atlas, mark, route } = useApp();
  const to = useAddress();
  const turn = (step: number) => {
    const next = atlas.neighbour(layer, step);
    if (next) go(to({ kind: "layer", layer: next.name }, route.query));
  };
  useKeys(
    {
      u: () => turn(-1),
      o: () => turn(1),
      c: () => mark({ atlas: route.atlas, layer: layer.name, unit: null }),
    },
    [layer, route],
  );
  const [before, after] = [atlas.neighbour(layer, -1), atlas.neighbour(layer, 1)];
  return (
    <header class="view-head layer-head">
      <Field manifest={atlas.manifest} layer={layer} size={96} words={words} />
      <div>
        <h1>{layer.name}</h1>
        <p class="facts">{layerFacts(layer, words)}</p>
        <p class="facts">
          {fill(words.layer.parameters, { n: big(layer.parameters) })}
          {layer.flops !== null && ` · ${fill(words.layer.flops, { n: big(layer.flops) })}`}
          {` · ${fill(words.layer.sees, { field: fieldName(layer, words) })}`}
          {layer.gated && ` (${words.layer.gated})`}
        </p>
      </div>
      <nav class="turn" aria-label={`${words.layer.previous}, ${words.layer.next}`} data-not-copied>
        {before && (
          <a href={to({ kind: "layer", layer: before.name }, route.query)} title={`${words.layer.previous} (u)`}>
            ← {before.name}
          </a>
        )}
        {after && (
          <a href={to({ kind: "layer", layer: after.name }, route.query)} title={`${words.layer.next} (o)`}>
            {after.name} →
          </a>
        )}
      </nav>
    </header>
  );
}

export function layerFacts(layer: LayerInfo, words: Words): string {
  const known = words.layer[layer.kind as "conv"] as string | undefined;
  const kernel = layer.kernel ? layer.kernel.join("\u2009×\u2009") : "";
  const map = layer.outputSize ? layer.outputSize.join("\u2009×\u2009") : "";
  return fill(words.layer.facts, {
    kind: known ?? layer.kind,
    kernel,
    inputs: layer.inChannels ?? "",
    outputs: layer.channels,
    map,
  });
}

/** What a layer's tiles can show, the best first. */
export function shownKinds(data: LayerData): Shows[] {
  const kinds: Shows[] = [];
  if (data.pictures.optimum) kinds.push("optimum");
  if (data.pictures.patch) kinds.push("patch");
  if (data.pictures.kernel) kinds.push("kernel");
  if (data.pictures.effective) kinds.push("effective");
  if (data.histograms || data.numbers["image_firing_rate"]) kinds.push("statistics");
  return kinds;
}

function Filters({ layer, data }: { layer: LayerInfo; data: LayerData }) {
  const { atlas, route, words } = useApp();
  const to = useAddress();
  const selection = readSelection(route.query);
  const kinds = layer.hasMaps ? [...shownKinds(data), "map" as const] : shownKinds(data);
  const shows = kinds.find((kind) => kind === route.query["tile"]) ?? kinds[0] ?? "statistics";
  const size = SIZES.find((one) => String(one) === route.query["size"]) ?? (layer.channels <= 32 || innerWidth < 760 ? 112 : 88);
  const set = (query: Record<string, string>) => replace(to({ kind: "layer", layer: layer.name }, query));
  const view = (): Record<string, string> =>
    Object.fromEntries(Object.entries(route.query).filter(([name]) => ["tile", "size", "image", "scale"].includes(name)));
  const choose = (next: Selection) => set({ ...view(), ...writeSelection(next) });
  const show = (tile: Shows) => set({ ...route.query, tile });
  useKeys(
    Object.fromEntries(
      DIGITS.map((kind, place) => [
        String(place + 1),
        () => kinds.includes(kind) && show(kind),
      ]),
    ),
    [route, data],
  );
  const ofImage = [selection.sort, ...selection.conditions.map((one) => one.column)].includes(OF_IMAGE.id);
  const chosen = useMapOf(atlas, layer, shows === "map" || ofImage, route.query["image"]);
  const numbers = chosen.map ? { ...data.numbers, [OF_IMAGE.id]: chosen.map.largest } : data.numbers;
  const known = atlas.manifest.columns.filter((column) => data.numbers[column.id]);
  const columns = layer.hasMaps ? [...known, OF_IMAGE] : known;
  const places = selected({ ...data, numbers }, selection);
  const scale = route.query["scale"] === "layer" ? "layer" : "unit";
  const { images, map, levels } = chosen;
  const maps = images && map ? { images, map, levels, scale, input: atlas.manifest.inputSize } as const : undefined;
  const sortColumn = columns.find((column) => column.id === selection.sort);
  const states = countStates(data);
  return (
    <>
      <div class="toolbar" data-not-copied>
        <Choice
          label={words.pictures.show}
          options={kinds.map((id) => ({ id, name: words.pictures[id] }))}
          chosen={shows}
          choose={show}
        />
        <label>
          {words.layer.sort}{" "}
          <select
            value={selection.sort}
            onChange={(event) => choose({ ...selection, sort: event.currentTarget.value })}
          >
            <option value="index">{words.layer.index}</option>
            {columns.map((column) => (
              <option key={column.id} value={column.id}>
                {words.columns[column.id] ?? column.id}
              </option>
            ))}
          </select>
        </label>
        <button
          type="button"
          aria-pressed={!selection.descending}
          title={selection.descending ? words.layer.down : words.layer.up}
          aria-label={selection.descending ? words.layer.down : words.layer.up}
          onClick={() => choose({ ...selection, descending: !selection.descending })}
        >
          {selection.descending ? "↓" : "↑"}
        </button>
        <Conditions columns={columns} selection={selection} choose={choose} />
        {ASLEEP.map((state) =>
          states[state] ? (
            <button
              type="button"
              key={state}
              class="chip"
              aria-pressed={selection.state === state}
              onClick={() => choose({ ...selection, state: selection.state === state ? null : state })}
            >
              {fill(words.layer.counts[state], { n: states[state] })}
            </button>
          ) : null,
        )}
        <span class="spacer" />
        <label>
          {words.layer.size}{" "}
          <input
            type="range"
            min={0}
            max={SIZES.length - 1}
            step={1}
            value={SIZES.indexOf(size)}
            onInput={(event) => set({ ...route.query, size: String(SIZES[Number(event.currentTarget.value)] ?? 88) })}
          />
        </label>
        <button type="button" onClick={() => table(layer, data, numbers, places, columns)}>
          {words.layer.table}
        </button>
      </div>
      <FunctionChoice data={data} chosen={selection.label} choose={(label) => choose({ ...selection, label })} />
      {layer.hasMaps && (shows === "map" || ofImage) && (
        <MapBar
          chosen={chosen}
          count={atlas.manifest.mapImages}
          showing={shows === "map"}
          maps={maps}
          scale={scale}
          choose={(place) => set({ ...route.query, image: String(images?.ids[place] ?? "") })}
          scaleBy={(by) => set({ ...route.query, scale: by })}
        />
      )}
      <p class="found" aria-live="polite">
        {fill(words.layer.found, { n: places.length, all: data.units.length })}
        {(selection.conditions.length > 0 || selection.state || selection.label) && (
          <button type="button" class="link" onClick={() => choose({ ...selection, conditions: [], state: null, label: null })}>
            {words.layer.clear}
          </button>
        )}
      </p>
      {places.length ? (
        <Grid
          label={fill(words.layer.grid, { layer: layer.name })}
          count={places.length}
          size={size}
          captions={24}
          item={(number) => {
            const place = places[number] ?? 0;
            const column = sortColumn ?? (shows === "map" ? OF_IMAGE : null);
            const value = column ? formatted(column.kind, numbers[column.id]?.[place]) : "";
            return (
              <FilterTile key={place} {...{ layer, data, place, shows, size, maps, value }} />
            );
          }}
        />
      ) : (
        <p>{words.layer.none}</p>
      )}
      <HowTo about={shows} />
    </>
  );
}

function countStates(data: LayerData): Record<Asleep, number> {
  const counts = Object.fromEntries(ASLEEP.map((state) => [state, 0])) as Record<Asleep, number>;
  for (let place = 0; place < data.units.length; place++) for (const state of asleep(data, place)) counts[state]++;
  return counts;
}

type NumbersOf = Record<string, (number | null)[]>;

function table(layer: LayerInfo, data: LayerData, numbers: NumbersOf, places: number[], columns: Column[]): void {
  const known = columns.map((column) => column.id).filter((column) => numbers[column]);
  saveTable(
    ["layer", "unit", ...(data.functions ? ["label"] : []), ...known],
    places.map((place) => [
      layer.name,
      data.units[place] ?? null,
      ...(data.functions ? [data.functions[place]?.label ?? null] : []),
      ...known.map((column) => numbers[column]?.[place] ?? null),
    ]),
    layer.name,
  );
}
