/** One filter: its optimum large, its patches, its kernel, its numbers, and the filters that it is most alike. */

import { useContext, useEffect } from "preact/hooks";
import type { LayerData, LayerInfo } from "../data/contract";
import { FilterBody } from "../parts/filter_body";
import { fieldName } from "../parts/field";
import { Trouble } from "../parts/trouble";
import { savePicture } from "../pictures/save";
import { spot } from "../pictures/sheets";
import { SheetsContext } from "../pictures/tile";
import { go, useAddress, useApp, useLoaded } from "../state/app";
import { useKeys } from "../state/keys";
import { asleep } from "../state/selection";
import { fill } from "../words";
import { NotFound } from "./not_found";

export function FilterView({ layer: name, unit }: { layer: string; unit: number }) {
  const { atlas } = useApp();
  const layer = atlas.layerNamed(name);
  const data = useLoaded(() => (layer ? atlas.layer(layer) : null), [atlas, layer]);
  useReadAhead(layer, unit);
  if (!layer) return <NotFound what="layer" values={{ name }} />;
  if (unit >= layer.channels) return <NotFound what="unit" values={{ layer: name, unit, n: layer.channels }} />;
  if (!data.value) return <Trouble error={data.error} />;
  const place = data.value.units.indexOf(unit);
  return (
    <div class="filter-view">
      <FilterHead layer={layer} data={data.value} unit={unit} place={place} />
      {place >= 0 && <FilterBody atlas={atlas} layer={layer} data={data.value} place={place} />}
    </div>
  );
}

/** Once a filter is shown, load what the keys lead to, the likeliest first: one then need not wait for it. */
function useReadAhead(layer: LayerInfo | undefined, unit: number): void {
  const { atlas, settings } = useApp();
  const sheets = useContext(SheetsContext);
  useEffect(() => {
    if (!layer || !sheets) return;
    const read = async (next: LayerInfo | undefined, number: number) => {
      if (!next || number < 0 || number >= next.channels) return;
      const { pictures } = await atlas.layer(next);
      const methods = pictures.backprojections ?? {};
      const back = methods[settings.backprojection ?? ""] ?? Object.values(methods)[0];
      const shown = [pictures.optima ?? pictures.optimum, pictures.patches, back, pictures.kernel, pictures.effective];
      for (const set of shown) {
        const place = set && spot(set, number * set.perUnit);
        if (place) await sheets.bitmap(place.sheet);
      }
      if (next.hasBehaviour) {
        const { strips } = await atlas.behaviour(next);
        const place = strips && spot(strips, number * strips.perUnit);
        if (place) await sheets.bitmap(place.sheet);
      }
      if (next.hasMaps) for (const map of await atlas.maps(next)) await atlas.levels(next, map);
    };
    const readAll = async () => {
      await read(layer, unit + 1);
      for (const step of [1, -1]) {
        const next = atlas.neighbour(layer, step);
        await read(next, Math.min(unit, (next?.channels ?? 1) - 1));
      }
      await read(layer, unit - 1);
    };
    // What is lost is reported when one goes there.
    const timer = setTimeout(() => void readAll().catch(() => undefined), 50);
    return () => clearTimeout(timer);
  }, [atlas, layer, unit, sheets, settings.backprojection]);
}

interface HeadProps {
  layer: LayerInfo;
  data: LayerData;
  unit: number;
  place: number;
}

function FilterHead({ layer, data, unit, place }: HeadProps) {
  const { atlas, words, route, mark, say } = useApp();
  const sheets = useContext(SheetsContext);
  const to = useAddress();
  const filter = (number: number, name = layer.name) => to({ kind: "filter", layer: name, unit: number });
  const [before, after] = [unit > 0 ? unit - 1 : null, unit + 1 < layer.channels ? unit + 1 : null];
  const turn = (step: number) => {
    const next = atlas.neighbour(layer, step);
    if (next) go(filter(Math.min(unit, next.channels - 1), next.name));
  };
  const save = () => {
    const set = data.pictures.optimum ?? data.pictures.patch ?? data.pictures.kernel;
    if (set && sheets) void savePicture(sheets, set, place * set.perUnit, `${layer.name}_${unit}`);
  };
  const place_ = { atlas: route.atlas, layer: layer.name, unit };
  useKeys(
    {
      ArrowLeft: () => before !== null && go(filter(before)),
      ArrowRight: () => after !== null && go(filter(after)),
      u: () => turn(-1),
      o: () => turn(1),
      c: () => mark(place_),
      s: save,
    },
    [layer, unit, route, mark],
  );
  const states = place >= 0 ? asleep(data, place) : [];
  return (
    <header class="view-head filter-head">
      <div>
        <p class="above-title">
          <a href={to({ kind: "layer", layer: layer.name })}>{layer.name}</a>
        </p>
        <h1>
          {fill(words.filter.title, { unit })}
          {states.map((state) => (
            <span key={state} class={`badge ${state}`}>
              {words.layer.asleep[state]}
            </span>
          ))}
        </h1>
        <p class="facts">
          {fill(words.filter.ofLayer, { n: layer.channels })} ·{" "}
          {fill(words.layer.sees, { field: fieldName(layer, words) })}
        </p>
      </div>
      <div class="actions" data-not-copied>
        <button type="button" onClick={save} title="s">
          {words.filter.save}
        </button>
        <button type="button" onClick={() => mark(place_)} title="c">
          {words.filter.mark}
        </button>
        <button
          type="button"
          onClick={() =>
            navigator.clipboard.writeText(location.href).then(
              () => say(words.said.link),
              () => say(location.href),
            )
          }
        >
          {words.filter.link}
        </button>
      </div>
      <nav class="turn" aria-label={`${words.filter.previous}, ${words.filter.next}`} data-not-copied>
        {before !== null ? <a href={filter(before)} title={words.filter.previous}>← {before}</a> : <span />}
        {after !== null ? <a href={filter(after)} title={words.filter.next}>{after} →</a> : <span />}
      </nav>
    </header>
  );
}
