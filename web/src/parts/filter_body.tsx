/** Everything that is known of one filter, as three columns: optimum and kernel, patches, numbers. */

import { useState } from "preact/hooks";
import type { Atlas } from "../data/atlas";
import { classMeans } from "../data/atlas";
import type { LayerData, LayerInfo, OptimumInfo } from "../data/contract";
import { formatted, plain } from "../numbers";
import { Tile } from "../pictures/tile";
import { useAddress, useApp, useLoaded } from "../state/app";
import { fill } from "../words";
import { FilterMaps } from "./filter_maps";
import { hasFewPixels } from "./filter_tile";
import { Histogram } from "./histogram";
import { HowTo } from "./how_to";
import { EffectiveKernel, Kernel } from "./kernels";
import { Numbers } from "./numbers";
import { Patches } from "./patches";
import { TakenAway } from "./taken_away";
import { Trouble } from "./trouble";
import { Tuning } from "./tuning";
import { UnitFindings } from "./unit_findings";
import { UnitFunctionBox } from "./unit_function";

export interface FilterProps {
  atlas: Atlas;
  layer: LayerInfo;
  data: LayerData;
  place: number;
}

/** `beside`: another filter stands beside it, and their numbers are held against each other elsewhere. */
export function FilterBody({ beside, ...props }: FilterProps & { beside?: boolean }) {
  const { atlas, layer, data, place } = props;
  const { words } = useApp();
  const behaviour = useLoaded(() => (layer.hasBehaviour ? atlas.behaviour(layer) : null), [atlas, layer]);
  const diagnosis = useLoaded(() => (atlas.manifest.hasDiagnosis ? atlas.diagnosis() : null), [atlas]);
  const awaited =
    (layer.hasBehaviour && !behaviour.value && !behaviour.error) ||
    (atlas.manifest.hasDiagnosis && !diagnosis.value && !diagnosis.error);
  // All at once, and the room of a screen until then: what stands below does not move when it comes.
  if (awaited)
    return (
      <div class="awaited-body">
        <Trouble error={null} />
      </div>
    );
  const nothing = !data.optima[place]?.length && !data.patches[place]?.length && !data.pictures.kernel;
  return (
    <div class="filter-body">
      <div class="optimum-column">
        {nothing && <p class="note">{words.filter.nothing}</p>}
        <Optimum {...props} />
        <Kernel {...props} />
        <EffectiveKernel {...props} />
      </div>
      <div class="patches-column">
        <Patches {...props} />
        {diagnosis.error && <Trouble error={diagnosis.error} />}
        {diagnosis.value && <UnitFindings {...props} diagnosis={diagnosis.value} />}
        {behaviour.error && <Trouble error={behaviour.error} />}
        {behaviour.value && <TakenAway {...props} behaviour={behaviour.value} />}
        {behaviour.value && <Tuning {...props} behaviour={behaviour.value} />}
        <Alike {...props} />
      </div>
      <div class="numbers-column">
        <UnitFunctionBox {...props} />
        {!beside && <Numbers {...props} />}
        <Activations {...props} />
        <ByClass {...props} />
      </div>
      <FilterMaps {...props} />
    </div>
  );
}

function Optimum({ layer, data, place }: FilterProps) {
  const { words } = useApp();
  const [at, setAt] = useState(0);
  const unit = data.units[place] ?? place;
  const optima = data.optima[place] ?? [];
  const all = data.pictures.optima;
  const chosen = optima[at] ?? optima[0];
  const set = all ?? data.pictures.optimum;
  if (!chosen || !set) return null;
  const number = all ? place * all.perUnit + optima.indexOf(chosen) : place;
  const label = (one: OptimumInfo) =>
    fill(words.filter.optimumLabel, { layer: layer.name, unit, activation: plain(one.activation) });
  const few = hasFewPixels(layer);
  return (
    <section role="group" aria-label={words.filter.optimum}>
      <h2>{words.filter.optimum}</h2>
      <Tile
        set={set}
        number={number}
        size={320}
        label={label(chosen)}
        file={`${layer.name}_${unit}_optimum`}
        pixelated={few}
        class="large"
      />
      {all && optima.length > 1 && (
        <div class="variants" role="group" aria-label={words.filter.optima}>
          {optima.map((one, rank) => (
            <button
              type="button"
              key={`${one.variant} ${one.seed}`}
              aria-pressed={one === chosen}
              onClick={() => setAt(rank)}
              title={`${fill(words.filter.variant, { seed: one.seed })}: ${plain(one.activation)}`}
            >
              <Tile set={all} number={place * all.perUnit + rank} size={56} label={label(one)} pixelated={few} />
            </button>
          ))}
        </div>
      )}
      <p class="caption">
        {[
          fill(words.filter.ascent, {
            steps: chosen.steps,
            start: words.starts[chosen.start] ?? chosen.start,
          }),
          words.status[chosen.status] ?? chosen.status,
        ].join(" · ")}
      </p>
      <HowTo about="optimum" />
    </section>
  );
}

function Activations({ data, place }: FilterProps) {
  const { words } = useApp();
  const both = data.histograms?.[place];
  if (!both || (!both.image && !both.position)) return null;
  return (
    <section role="group" aria-label={words.filter.histogram}>
      <h2>{words.filter.histogram}</h2>
      {both.image && (
        <figure class="with-histogram">
          <Histogram histogram={both.image} width={280} height={72} axis />
          <figcaption>{words.filter.histogramImage}</figcaption>
        </figure>
      )}
      {both.position && (
        <figure class="with-histogram">
          <Histogram histogram={both.position} width={280} height={48} axis />
          <figcaption>{words.filter.histogramPosition}</figcaption>
        </figure>
      )}
      <HowTo about="histogram" />
    </section>
  );
}

const FAVOURITES = 6;

function ByClass({ atlas, layer, place }: FilterProps) {
  const { words } = useApp();
  const to = useAddress(atlas);
  const means = useLoaded(() => (layer.hasMeans ? atlas.means(layer) : null), [atlas, layer]);
  if (!means.value) return null;
  const { labels } = atlas.manifest;
  const values = classMeans(means.value, place, labels.length);
  const order = values
    .map((value, label) => ({ value, name: labels[label]?.name ?? "" }))
    .filter(({ value }) => !Number.isNaN(value))
    .sort((one, other) => other.value - one.value);
  const shownOnes = order.length > FAVOURITES + 2 ? [...order.slice(0, FAVOURITES), ...order.slice(-1)] : order;
  const low = Math.min(0, ...order.map((one) => one.value));
  const high = Math.max(0, ...order.map((one) => one.value));
  const range = high - low || 1;
  const zero = (-low / range) * 100;
  return (
    <section role="group" aria-label={words.filter.classes}>
      <h2>{words.filter.classes}</h2>
      <ul class="class-bars">
        {shownOnes.map(({ value, name }, rank) => (
          <li key={name} class={rank === FAVOURITES && order.length > FAVOURITES + 2 ? "last" : ""}>
            <a href={to({ kind: "class", name })} dir="auto" title={name}>
              {name}
            </a>
            <span class="class-bar">
              <span
                style={{
                  left: `${value >= 0 ? zero : zero + (value / range) * 100}%`,
                  width: `${(Math.abs(value) / range) * 100}%`,
                }}
              />
            </span>
            <span class="value">{plain(value)}</span>
          </li>
        ))}
      </ul>
      <HowTo about="classes" />
    </section>
  );
}

function Alike({ atlas, layer, data, place }: FilterProps) {
  const { words } = useApp();
  const to = useAddress(atlas);
  const alike = data.alike?.[place] ?? [];
  const set = data.pictures.optimum ?? data.pictures.patch;
  if (!alike.length) return null;
  return (
    <section role="group" aria-label={words.filter.alike}>
      <h2>{words.filter.alike}</h2>
      <div class="alike">
        {alike.map(([unit, similarity]) => {
          const value = formatted("correlation", similarity);
          const label = fill(words.filter.alikeLabel, { layer: layer.name, unit, value });
          return (
            <a
              key={unit}
              href={to({ kind: "filter", layer: layer.name, unit })}
              aria-label={label}
              class="filter-tile"
            >
              <Tile
                set={set}
                number={data.units.indexOf(unit) * (set?.perUnit ?? 1)}
                size={64}
                label=""
                pixelated={hasFewPixels(layer)}
              />
              <span class="under">
                <b>{unit}</b>
                <span>{value}</span>
              </span>
            </a>
          );
        })}
      </div>
      <HowTo about="alike" />
    </section>
  );
}
