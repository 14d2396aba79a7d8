/** The layers as a graph in the order in which they run, branches as branches, each with its filters and findings. */

import type { GraphNode, LayerInfo, Manifest } from "../data/contract";
import { formatted, percent } from "../numbers";
import { Field, fieldName } from "../parts/field";
import { hasFewPixels } from "../parts/filter_tile";
import { type Counted, FunctionSwitch, FunctionTable, hasFunctions, layerShareText, sharesOf, useCounted } from "../parts/function_bars";
import { HowTo } from "../parts/how_to";
import { ShareStack } from "../parts/share_stack";
import { compoundName } from "../data/functions";
import { Strip } from "../pictures/strip";
import { useAddress, useApp } from "../state/app";
import { type LaneRow, laneCount, lanes } from "../state/lanes";
import { fill } from "../words";
import type { Words } from "../words/en";
import { layerFacts } from "./layer";

const LANE = 16;
const HEIGHTS = { layer: 104, other: 30 };

export function NetworkView() {
  const { atlas, words } = useApp();
  const { manifest } = atlas;
  const rows = lanes(graphOf(manifest));
  const width = laneCount(rows) * LANE + 8;
  const counted = useCounted();
  const known = new Map(manifest.layers.map((layer) => [layer.name, layer]));
  return (
    <div class="network-view">
      <header class="view-head">
        <div>
          <h1>{words.network.title}</h1>
          <p class="facts">{manifest.network}</p>
        </div>
      </header>
      <HowTo about="network" />
      {hasFunctions(manifest) && (
        <>
          <FunctionTable />
          <FunctionSwitch view={{ kind: "network" }} />
        </>
      )}
      <ol class="graph">
        {rows.map((row) => {
          const layer = row.node.name ? known.get(row.node.name) : undefined;
          const height = layer ? HEIGHTS.layer : HEIGHTS.other;
          return (
            <li key={row.node.id} class={layer ? "graph-layer" : "graph-other"} style={{ minHeight: `${height}px` }}>
              <Lanes row={row} width={width} height={height} />
              {layer ? (
                <LayerRow layer={layer} manifest={manifest} counted={counted} words={words} />
              ) : (
                <span class="graph-name">{nodeName(row.node, words)}</span>
              )}
            </li>
          );
        })}
      </ol>
    </div>
  );
}

/** The atlas's graph; without one, the layers as a chain. */
function graphOf(manifest: Manifest): GraphNode[] {
  if (manifest.nodes.length) return manifest.nodes;
  return manifest.layers.map((layer, id) => ({
    id,
    kind: "layer",
    name: layer.name,
    channels: layer.channels,
    size: layer.outputSize,
    inputs: id ? [id - 1] : [],
  }));
}

function nodeName(node: GraphNode, words: Words): string {
  const kind = (words.network as Record<string, string>)[node.kind] ?? node.kind;
  const shape = [node.channels, ...(node.size ?? [])].filter((value) => value !== null).join(" × ");
  const joined = node.inputs.length > 1 ? fill(words.network.joins, { kind, n: node.inputs.length }) : kind;
  return [node.kind === "layer" || node.kind === "linear" ? node.name : null, joined, shape].filter(Boolean).join(" · ");
}

function Lanes({ row, width, height }: { row: LaneRow; width: number; height: number }) {
  const x = (lane: number) => lane * LANE + LANE / 2;
  const y = height / 2;
  const isLayer = row.node.kind === "layer";
  return (
    <svg class="lanes" width={width} height={height} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      {row.past.map((lane) => (
        <line key={`past ${lane}`} x1={x(lane)} x2={x(lane)} y1={0} y2={height} />
      ))}
      {row.from.map((lane) => (
        <path
          key={`from ${lane}`}
          d={
            lane === row.lane
              ? `M ${x(lane)} 0 V ${y}`
              : `M ${x(lane)} 0 C ${x(lane)} ${y * 0.8}, ${x(row.lane)} ${y * 0.2}, ${x(row.lane)} ${y}`
          }
        />
      ))}
      {row.read && <line x1={x(row.lane)} x2={x(row.lane)} y1={y} y2={height} />}
      <circle class={isLayer ? "node" : "join"} cx={x(row.lane)} cy={y} r={isLayer ? 5 : 3.5} />
    </svg>
  );
}

/** Filters side by side in a row of a layer's strip; it has two rows. */
const ACROSS = 18;

interface LayerRowProps {
  layer: LayerInfo;
  manifest: Manifest;
  counted: Counted;
  words: Words;
}

function LayerRow({ layer, manifest, counted, words }: LayerRowProps) {
  const to = useAddress();
  const some = sharesOf(layer, counted);
  const set = manifest.overview.optimum ?? manifest.overview.patch ?? manifest.overview.kernel;
  return (
    <a class="layer-row" href={to({ kind: "layer", layer: layer.name })} data-item>
      <Field manifest={manifest} layer={layer} size={72} words={words} />
      <span class="layer-row-words">
        <b>{layer.name}</b>
        <span class="facts">
          {layerFacts(layer, words)} · {fill(words.layer.sees, { field: fieldName(layer, words) })}
        </span>
        <span class="findings">{findings(layer, manifest, words)}</span>
        {some && (
          <span class="layer-does" title={layerShareText(layer, some, words)}>
            <ShareStack shares={some.shares} />
            <span class="findings">{compoundName(some.compound, words)}</span>
          </span>
        )}
      </span>
      {set && (
        <span class="layer-strip">
          <Strip
            set={set}
            first={layer.firstPicture}
            count={Math.min(2 * ACROSS, layer.channels)}
            across={ACROSS}
            tile={36}
            pixelated={hasFewPixels(layer)}
          />
        </span>
      )}
    </a>
  );
}

/** What is known of a layer, in one line. */
function findings(layer: LayerInfo, manifest: Manifest, words: Words): string {
  const parts: string[] = [];
  const { proven } = layer;
  const certain = proven ? proven["provably dead"] + proven.unread + proven.constant : 0;
  if (layer.neverFired === null && layer.noStimulus === null && !certain)
    parts.push(fill(words.network.unlooked, { n: layer.channels }));
  else if (!layer.neverFired && !layer.noStimulus && !certain) parts.push(fill(words.network.allAwake, { n: layer.channels }));
  const { counts } = words.layer;
  if (proven?.["provably dead"]) parts.push(fill(counts.provably_dead, { n: proven["provably dead"] }));
  if (proven?.unread) parts.push(fill(counts.unread, { n: proven.unread }));
  if (proven?.constant) parts.push(fill(counts.constant, { n: proven.constant }));
  if (layer.neverFired) parts.push(fill(counts.never_fired, { n: layer.neverFired }));
  if (layer.noStimulus) parts.push(fill(counts.no_stimulus, { n: layer.noStimulus }));
  const firing = layer.medians["image_firing_rate"];
  if (firing !== null && firing !== undefined && manifest.imageCount)
    parts.push(fill(words.network.firing, { value: percent(firing) }));
  const ratio = layer.medians["ratio"];
  if (ratio !== null && ratio !== undefined) parts.push(fill(words.network.ratio, { value: formatted("ratio", ratio) }));
  return parts.join(" · ");
}
