/** What the layers do: how they are counted, the legend of the bars, and the same as a table. */

import type { LayerInfo, LayerShares, Manifest } from "../data/contract";
import { FUNCTIONS, compoundName, labelName, shareText, sharesText } from "../data/functions";
import { replace, useAddress, useApp } from "../state/app";
import type { View } from "../state/route";
import { fill } from "../words";
import type { Words } from "../words/en";
import { Choice } from "./choice";
import { HowTo } from "./how_to";
import { FunctionLegend } from "./share_stack";

export type Counted = "number" | "importance";

export function hasFunctions(manifest: Manifest): boolean {
  return manifest.layers.some((layer) => layer.functions);
}

/** How the reader wants units to be counted; as far as importance is known of any layer. */
export function useCounted(): Counted {
  const { atlas, route } = useApp();
  return route.query["by"] === "importance" && weighable(atlas.manifest) ? "importance" : "number";
}

function weighable(manifest: Manifest): boolean {
  return manifest.layers.some((layer) => layer.functions?.importance);
}

export function sharesOf(layer: LayerInfo, counted: Counted): LayerShares | null {
  return layer.functions?.[counted] ?? null;
}

/** A layer's bar in words. */
export function layerShareText(layer: LayerInfo, some: LayerShares, words: Words): string {
  const counted = fill(words.functions.counted, { n: some.units, dead: some.dead });
  return `${layer.name}: ${compoundName(some.compound, words)}. ${sharesText(some, words)}. ${counted}`;
}

/** The legend of the bars, and the switch. */
export function FunctionSwitch({ view }: { view: View }) {
  const { atlas, route, words } = useApp();
  const to = useAddress();
  const counted = useCounted();
  return (
    <FunctionLegend>
      {weighable(atlas.manifest) && (
        <Choice
          label={words.functions.by}
          options={(["number", "importance"] as const).map((id) => ({ id, name: words.functions[id] }))}
          chosen={counted}
          choose={(by) => replace(to(view, { ...route.query, by }))}
        />
      )}
    </FunctionLegend>
  );
}

/** The same in numbers. */
export function FunctionTable() {
  const { atlas, words } = useApp();
  const counted = useCounted();
  const layers = atlas.manifest.layers.filter((layer) => sharesOf(layer, counted));
  return (
    <>
      <details class="how-to share-table" data-not-copied>
        <summary>{words.functions.table}</summary>
        <div class="scrolled" tabIndex={0} role="region" aria-label={words.functions.table}>
          <table>
            <thead>
              <tr>
                <th scope="col">{words.compare.layer}</th>
                {FUNCTIONS.map((name) => (
                  <th scope="col" key={name}>
                    {labelName(name, words)}
                  </th>
                ))}
                <th scope="col">{words.functions.units}</th>
                <th scope="col">{words.functions.names["dead"]}</th>
              </tr>
            </thead>
            <tbody>
              {layers.map((layer) => (
                <Row key={layer.name} layer={layer} some={sharesOf(layer, counted)} words={words} />
              ))}
            </tbody>
          </table>
        </div>
      </details>
      <HowTo about="functions" title={words.functions.read} />
    </>
  );
}

function Row({ layer, some, words }: { layer: LayerInfo; some: LayerShares | null; words: Words }) {
  const to = useAddress();
  if (!some) return null;
  return (
    <tr>
      <th scope="row">
        <a href={to({ kind: "layer", layer: layer.name })}>{layer.name}</a>
      </th>
      {FUNCTIONS.map((name, place) => (
        <td key={name}>{shareText(some, place, words)}</td>
      ))}
      <td>{some.units}</td>
      <td>{some.dead}</td>
    </tr>
  );
}
