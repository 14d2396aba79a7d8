/** The first view: the one picture of the network. Depth from left to right, every layer a column of its filters. */

import { useRef, useState } from "preact/hooks";
import type { Band, LayerInfo, Manifest, PictureSet } from "../data/contract";
import { big, formatted, percent, plain } from "../numbers";
import { Field, fieldName } from "../parts/field";
import { FunctionSwitch, FunctionTable, hasFunctions, layerShareText, sharesOf, useCounted } from "../parts/function_bars";
import { HowTo } from "../parts/how_to";
import { MissingNote } from "../parts/missing";
import { Choice } from "../parts/choice";
import { hasFewPixels } from "../parts/filter_tile";
import { ShareStack } from "../parts/share_stack";
import { STRIP_GAP, Strip, stripSize } from "../pictures/strip";
import { Tile } from "../pictures/tile";
import { go, useAddress, useApp } from "../state/app";
import { useWidth } from "../state/width";
import { fill } from "../words";
import type { Words } from "../words/en";

type Kind = "optimum" | "patch" | "kernel";

/** Rows of tiles in a column, at the most: as many as leave room for what stands under them. */
function mostRows(tile: number): number {
  return Math.min(14, Math.max(6, Math.floor((innerHeight - 560) / (tile + STRIP_GAP))));
}

const NARROWEST = 41;
const WIDEST = 132;

export function Overview() {
  const { atlas, words } = useApp();
  const { manifest } = atlas;
  const kinds = (["optimum", "patch", "kernel"] as const).filter((kind) => manifest.overview[kind]);
  const [kind, setKind] = useState<Kind>(kinds[0] ?? "optimum");
  const units = manifest.layers.reduce((sum, layer) => sum + layer.channels, 0);
  const facts = [
    fill(words.count.layers, { n: manifest.layers.length }),
    fill(words.count.filters, { n: units.toLocaleString("en") }),
    manifest.imageCount
      ? fill(words.count.images, { n: manifest.imageCount.toLocaleString("en") })
      : words.count.noImages,
    ...(manifest.made ? [manifest.made.slice(0, 10)] : []),
  ];
  return (
    <div class="overview">
      <header class="view-head">
        <div>
          <h1>{manifest.network}</h1>
          <p class="facts">{facts.join(" · ")}</p>
        </div>
        {kinds.length > 1 && (
          <Choice
            label={words.pictures.show}
            options={kinds.map((one) => ({ id: one, name: words.pictures[one] }))}
            chosen={kind}
            choose={setKind}
          />
        )}
      </header>
      <MissingNote manifest={manifest} />
      <Figure manifest={manifest} kind={kind} words={words} />
      <p class="caption">{words.overview.filtersShown}</p>
      {hasFunctions(manifest) && <FunctionTable />}
      <HowTo about="overview" />
    </div>
  );
}

function Figure({ manifest, kind, words }: { manifest: Manifest; kind: Kind; words: Words }) {
  const [frame, width] = useWidth<HTMLElement>();
  const gutter = width < 700 || manifest.layers.length > 20 ? 92 : 132;
  const count = Math.max(manifest.layers.length, 1);
  const column = Math.min(WIDEST, Math.max(NARROWEST, Math.floor((width - gutter) / count)));
  const layout = columnLayout(column);
  const tallest = Math.max(...manifest.layers.map((layer) => rowsOf(layer, layout)), 1);
  return (
    <figure class="depth" ref={frame} aria-label={words.overview.figure}>
      {width > 0 && (
        <div class="depth-scroll" tabIndex={-1}>
          <div
            class={`depth-grid ${column < 60 ? "narrow" : ""}`}
            style={{ gridTemplateColumns: `${gutter}px repeat(${manifest.layers.length}, ${column}px)` }}
          >
            <Head words={words} name={words.overview.sees} />
            {manifest.layers.map((layer) => (
              <div class="depth-field" key={layer.name}>
                <Field manifest={manifest} layer={layer} size={column - 6} words={words} />
                <span class="field-size">{shortField(layer, words)}</span>
              </div>
            ))}
            <Head words={words} name={words.pictures[kind]} />
            {manifest.layers.map((layer) => (
              <Column
                key={layer.name}
                layer={layer}
                set={manifest.overview[kind]}
                layout={layout}
                rows={tallest}
                words={words}
              />
            ))}
            <Head words={words} name={`${words.overview.depth} →`} />
            {grouped(manifest.layers).map(({ prefix, layers }) => (
              <div class="depth-group" key={layers[0]?.name} style={{ gridColumn: `span ${layers.length}` }}>
                <span class="clipped" title={prefix}>
                  {prefix || "\u00a0"}
                </span>
                <div style={{ display: "grid", gridTemplateColumns: `repeat(${layers.length}, ${column}px)` }}>
                  {layers.map((layer) => (
                    <Name key={layer.name} layer={layer} prefix={prefix} />
                  ))}
                </div>
              </div>
            ))}
            {hasFunctions(manifest) && <FunctionRow layers={manifest.layers} words={words} />}
            {manifest.bands.map((band) => (
              <BandRow key={band.id} band={band} layers={manifest.layers} words={words} column={column} />
            ))}
          </div>
        </div>
      )}
    </figure>
  );
}

function Head({ name, help }: { words: Words; name: string; help?: string | undefined }) {
  return (
    <div class="depth-head" title={help}>
      {name}
    </div>
  );
}

interface Layout {
  across: number;
  tile: number;
}

function columnLayout(column: number): Layout {
  const room = column - 6;
  const across = Math.max(2, Math.round(room / 30));
  return { across, tile: Math.floor((room - (across - 1) * STRIP_GAP) / across) };
}

function rowsOf(layer: LayerInfo, { across, tile }: Layout): number {
  return Math.min(mostRows(tile), Math.ceil(layer.channels / across));
}

interface ColumnProps {
  layer: LayerInfo;
  set: PictureSet | undefined;
  layout: Layout;
  rows: number;
  words: Words;
}

/** A layer's filters, drawn in one canvas: thousands of elements of their own would be slow. */
function Column({ layer, set, layout, rows, words }: ColumnProps) {
  const address = useAddress();
  const frame = useRef<HTMLSpanElement>(null);
  const [hovered, setHovered] = useState<number | null>(null);
  const { across, tile } = layout;
  const step = tile + STRIP_GAP;
  const count = Math.min(layer.channels, rowsOf(layer, layout) * across);
  const [, height] = stripSize(rows * across, across, tile);
  const placeAt = (event: MouseEvent): number | null => {
    const box = frame.current?.getBoundingClientRect();
    if (!box) return null;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const place = Math.floor(y / step) * across + Math.floor(x / step);
    return x >= 0 && y >= 0 && x < across * step && place < count ? place : null;
  };
  const label = fill(words.overview.openLayer, {
    layer: layer.name,
    n: layer.channels,
    field: fieldName(layer, words),
  });
  return (
    <a
      class="depth-column"
      href={address({ kind: "layer", layer: layer.name })}
      aria-label={label}
      data-item
      style={{ minHeight: `${height + 18}px` }}
      onMouseMove={(event) => setHovered(placeAt(event))}
      onMouseLeave={() => setHovered(null)}
      onClick={(event) => {
        const place = placeAt(event);
        // A click from the keyboard has no place.
        if (place === null || event.detail === 0 || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        go(address({ kind: "filter", layer: layer.name, unit: place }));
      }}
    >
      <span class="depth-tiles" ref={frame}>
        <Strip set={set} first={layer.firstPicture} count={count} across={across} tile={tile} />
        {hovered !== null && set && (
          <Lens
            set={set}
            layer={layer}
            place={hovered}
            left={(hovered % across) * step + tile / 2}
            top={Math.floor(hovered / across) * step + tile + 6}
          />
        )}
      </span>
      {count < layer.channels && <span class="more">{fill(words.overview.more, { n: layer.channels - count })}</span>}
    </a>
  );
}

interface LensProps {
  set: PictureSet;
  layer: LayerInfo;
  place: number;
  left: number;
  top: number;
}

/** What the pointer rests on, enlarged. */
function Lens({ set, layer, place, left, top }: LensProps) {
  return (
    <span class="lens" aria-hidden="true" style={{ left: `${left}px`, top: `${top}px` }}>
      <Tile set={set} number={layer.firstPicture + place} size={112} label="" pixelated={hasFewPixels(layer)} />
      <span>
        {layer.name}:{place}
      </span>
    </span>
  );
}

function shortField(layer: LayerInfo, words: Words): string {
  if (layer.wholeImage) return words.overview.whole;
  return layer.fieldSize ? String(Math.max(...layer.fieldSize)) : words.overview.unknownField;
}

function Name({ layer, prefix }: { layer: LayerInfo; prefix: string }) {
  const address = useAddress();
  return (
    <a
      class="depth-name"
      href={address({ kind: "layer", layer: layer.name })}
      title={layer.name}
      aria-label={layer.name}
      tabIndex={-1}
    >
      {breakable(prefix ? layer.name.slice(prefix.length + 1) : layer.name)}
    </a>
  );
}

/** A name with places at which it may go on in the next line: before a number and after an underline. */
function breakable(name: string) {
  return name.split(/(?<=[A-Za-z])(?=\d)|(?<=_)/).map((part, place) => (
    <>
      {place > 0 && <wbr />}
      {part}
    </>
  ));
}

/** Neighbouring layers of one parent module together: "features.3" of "features.3.squeeze" and "features.3.expand1x1". */
export function grouped(layers: LayerInfo[]): { prefix: string; layers: LayerInfo[] }[] {
  const groups: { prefix: string; layers: LayerInfo[] }[] = [];
  for (const layer of layers) {
    const prefix = layer.name.includes(".") ? layer.name.slice(0, layer.name.lastIndexOf(".")) : "";
    const last = groups[groups.length - 1];
    if (last && last.prefix === prefix) last.layers.push(layer);
    else groups.push({ prefix, layers: [layer] });
  }
  return groups;
}

/** What the filters of each layer do, as an upright bar that leads to the layer. */
function FunctionRow({ layers, words }: { layers: LayerInfo[]; words: Words }) {
  const address = useAddress();
  const counted = useCounted();
  return (
    <>
      <Head words={words} name={`${words.functions.layersTitle}, ${words.functions[counted]}`} />
      {layers.map((layer) => {
        const some = sharesOf(layer, counted);
        const text = some ? layerShareText(layer, some, words) : `${layer.name}: ${words.functions.unknown}`;
        return (
          <a class="depth-does" key={layer.name} href={address({ kind: "layer", layer: layer.name })} title={text} aria-label={text} tabIndex={-1}>
            {some && <ShareStack shares={some.shares} upright />}
          </a>
        );
      })}
      <div class="depth-legend">
        <FunctionSwitch view={{ kind: "overview" }} />
      </div>
    </>
  );
}

interface BandProps {
  band: Band;
  layers: LayerInfo[];
  words: Words;
  column: number;
}

function BandRow({ band, layers, words, column }: BandProps) {
  const largest = Math.max(...band.parts.flatMap((part) => part.values.map((value) => value ?? 0)), 1e-12);
  return (
    <>
      <Head words={words} name={words.bands[band.id] ?? band.id} help={words.bandHelp[band.id]} />
      {layers.map((layer, place) => {
        const parts = band.parts.map((part) => ({ id: part.id, value: part.values[place] ?? null }));
        const text = parts
          .filter((part) => part.value !== null && (band.kind === "value" || part.value > 0))
          .map((part) => `${partName(band, part.id, words)} ${bandValue(band, part.value)}`)
          .join(", ");
        return (
          <div class={`band ${band.kind}`} key={layer.name} title={`${layer.name}: ${text}`}>
            {band.kind === "share" ? (
              <span class="stack">
                {parts.map((part) => (
                  <span key={part.id} class={`part part-${part.id}`} style={{ width: `${(part.value ?? 0) * 100}%` }} />
                ))}
              </span>
            ) : (
              <span class="bar" style={{ width: `${((parts[0]?.value ?? 0) / largest) * 100}%` }} />
            )}
            <span class="band-value">{shortBand(band, parts, column)}</span>
          </div>
        );
      })}
    </>
  );
}

function partName(band: Band, id: string, words: Words): string {
  return (band.kind === "value" ? words.bands[band.id] : words.parts[id]) ?? id;
}

function bandValue(band: Band, value: number | null): string {
  if (band.kind === "share" || band.id === "firing" || band.id === "parameters") return percent(value);
  return band.id === "ratio" ? formatted("ratio", value) : plain(value);
}

function shortBand(band: Band, parts: { id: string; value: number | null }[], column: number): string {
  if (band.kind === "value") {
    const value = parts[0]?.value ?? null;
    return band.id === "filters" && column < 60 ? big(value) : bandValue(band, value);
  }
  return percent(parts[parts.length - 1]?.value ?? null);
}
