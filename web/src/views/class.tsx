/** One class: its image, the filters that speak for it, those that respond to it, and images of it. */

import type { ComponentChildren } from "preact";
import { useContext } from "preact/hooks";
import type { Atlas } from "../data/atlas";
import type { ClassInfo, Images, LayerInfo } from "../data/contract";
import { percent, plain, probability } from "../numbers";
import { hasFewPixels } from "../parts/filter_tile";
import { HowTo } from "../parts/how_to";
import { Trouble } from "../parts/trouble";
import { savePicture } from "../pictures/save";
import { SheetsContext, Tile } from "../pictures/tile";
import { go, useAddress, useApp, useLoaded } from "../state/app";
import { useKeys } from "../state/keys";
import { fill } from "../words";
import { NotFound } from "./not_found";

export function ClassView({ name }: { name: string }) {
  const { atlas, words } = useApp();
  const to = useAddress();
  const loaded = useLoaded(() => (atlas.manifest.hasClasses ? atlas.classes() : null), [atlas]);
  const images = useLoaded(() => (atlas.manifest.photograph === null ? null : atlas.images()), [atlas]);
  const classes = loaded.value?.classes ?? [];
  const place = classes.findIndex((one) => one.name === name);
  const turn = (step: number) => {
    const next = classes[place + step];
    if (next) go(to({ kind: "class", name: next.name }));
  };
  const sheets = useContext(SheetsContext);
  const save = () => {
    const set = loaded.value?.pictures;
    if (set && sheets && classes[place]?.image) void savePicture(sheets, set, place, name);
  };
  useKeys(
    { ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), u: () => turn(-1), o: () => turn(1), s: save },
    [place, classes, sheets],
  );
  if (atlas.manifest.hasClasses && !loaded.value) return <Trouble error={loaded.error} />;
  // Both at once: where the columns stand below each other, what comes later would push the rest down.
  if (atlas.manifest.photograph !== null && !images.value && !images.error) return <Trouble error={null} />;
  const info = classes[place];
  if (!info) return <NotFound what="class" values={{ name }} />;
  const label = info.label === null ? undefined : atlas.manifest.labels[info.label];
  const [before, after] = [classes[place - 1], classes[place + 1]];
  return (
    <div class="class-view">
      <header class="view-head">
        <div>
          <p class="above-title">
            <a href={to({ kind: "classes" })}>{words.classes.title}</a>
          </p>
          <h1 dir="auto">{info.name}</h1>
          <p class="facts">
            {[
              info.image && fill(words.classes.probability, { value: probability(info.image.probability) }),
              info.image && fill(words.classes.logit, { value: plain(info.image.logit) }),
              label && (label.images === 1 ? words.classes.oneImage : fill(words.classes.images, { n: label.images })),
            ]
              .filter(Boolean)
              .join(" · ")}
          </p>
        </div>
        {info.image && (
          <div class="actions" data-not-copied>
            <button type="button" onClick={save} title="s">
              {words.filter.save}
            </button>
          </div>
        )}
        <nav class="turn" data-not-copied>
          {before ? <a href={to({ kind: "class", name: before.name })} dir="auto">← {before.name}</a> : <span />}
          {after ? <a href={to({ kind: "class", name: after.name })} dir="auto">{after.name} →</a> : <span />}
        </nav>
      </header>
      <div class="class-body">
        <section class="class-image">
          {info.image && loaded.value?.pictures ? (
            <>
              <Tile
                set={loaded.value.pictures}
                number={place}
                size={320}
                label={fill(words.classes.imageLabel, {
                  name: info.name,
                  probability: probability(info.image.probability),
                })}
                file={info.name}
                class="large"
              />
              <HowTo about="classImage" />
            </>
          ) : (
            <p class="note">{words.classes.noImage}</p>
          )}
          <Examples images={images.value} name={info.name} />
        </section>
        <div>
          <Speakers atlas={atlas} info={info} />
          <Responders atlas={atlas} info={info} />
        </div>
      </div>
    </div>
  );
}

function Examples({ images, name }: { images: Images | null; name: string }) {
  const { words } = useApp();
  const set = images?.pictures;
  const places = (images?.labels ?? []).flatMap((label, place) => (label === name ? [place] : [])).slice(0, 12);
  if (!set || !places.length) return null;
  return (
    <section aria-label={words.classes.examples}>
      <h2>{words.classes.examples}</h2>
      <div class="examples">
        {places.map((place) => {
          const source = images?.sources[place] ?? "";
          return (
            <Tile
              key={place}
              set={set}
              number={place}
              size={74}
              label={fill(words.classes.exampleLabel, { source, name })}
              file={source}
            />
          );
        })}
      </div>
    </section>
  );
}

function Speakers({ atlas, info }: { atlas: Atlas; info: ClassInfo }) {
  const { words } = useApp();
  if (!info.contributions.length) return null;
  return (
    <section aria-label={words.classes.speak}>
      <h2>{words.classes.speak}</h2>
      <p class="caption">{words.classes.speakHelp}</p>
      <ByLayer
        atlas={atlas}
        rows={info.contributions.map(([layer, unit, share]) => ({
          layer,
          unit,
          value: percent(share),
        }))}
      />
      <HowTo about="speak" />
    </section>
  );
}

function Responders({ atlas, info }: { atlas: Atlas; info: ClassInfo }) {
  const { words } = useApp();
  if (!info.responses.length) return null;
  return (
    <section aria-label={words.classes.respond}>
      <h2>{words.classes.respond}</h2>
      <p class="caption">{words.classes.respondHelp}</p>
      <ByLayer
        atlas={atlas}
        rows={info.responses.map(([layer, unit, z]) => ({
          layer,
          unit,
          value: fill(words.classes.z, { value: z.toFixed(1) }),
        }))}
      />
      <HowTo about="respond" />
    </section>
  );
}

interface Row {
  layer: number;
  unit: number;
  value: string;
}

/** A row a layer, deepest first: those are nearest to the decision. */
function ByLayer({ atlas, rows }: { atlas: Atlas; rows: Row[] }) {
  const to = useAddress();
  const layers = [...atlas.manifest.layers].reverse().filter((layer) => rows.some((row) => row.layer === layer.id));
  const set = atlas.manifest.overview.optimum ?? atlas.manifest.overview.patch ?? atlas.manifest.overview.kernel;
  const line = (layer: LayerInfo): ComponentChildren =>
    rows
      .filter((row) => row.layer === layer.id)
      .map(({ unit, value }) => (
        <a
          key={unit}
          class="filter-tile"
          href={to({ kind: "filter", layer: layer.name, unit })}
          aria-label={`${layer.name}:${unit}, ${value}`}
          data-item
        >
          <Tile set={set} number={layer.firstPicture + unit} size={60} label="" pixelated={hasFewPixels(layer)} />
          <span class="under">
            <b>{unit}</b>
            <span>{value}</span>
          </span>
        </a>
      ));
  return (
    <div class="by-layer">
      {layers.map((layer) => (
        <div class="by-layer-row" key={layer.id}>
          <a class="by-layer-name" href={to({ kind: "layer", layer: layer.name })}>
            {layer.name}
          </a>
          <div class="by-layer-tiles">{line(layer)}</div>
        </div>
      ))}
    </div>
  );
}
