/** All classes: the image that the network would be surest of, for each. */

import { useState } from "preact/hooks";
import type { ClassInfo, Classes } from "../data/contract";
import { probability } from "../numbers";
import { Grid } from "../parts/grid";
import { HowTo } from "../parts/how_to";
import { Trouble } from "../parts/trouble";
import { Tile } from "../pictures/tile";
import { useAddress, useApp, useLoaded } from "../state/app";
import { fill } from "../words";

const SIZE = 132;

export function ClassesView() {
  const { atlas, words } = useApp();
  const [text, setText] = useState("");
  const loaded = useLoaded(() => (atlas.manifest.hasClasses ? atlas.classes() : null), [atlas]);
  const head = <h1>{words.classes.title}</h1>;
  if (!atlas.manifest.hasClasses)
    return (
      <div class="classes-view">
        {head}
        <p>{words.classes.none}</p>
      </div>
    );
  if (!loaded.value) return <Trouble error={loaded.error} />;
  const all = loaded.value.classes;
  const wanted = text.trim().toLowerCase();
  const found = all.map((one, place) => ({ one, place })).filter(({ one }) => one.name.toLowerCase().includes(wanted));
  return (
    <div class="classes-view">
      <header class="view-head">
        <div>
          {head}
          <p class="facts">{fill(words.classes.count, { n: found.length })}</p>
        </div>
        {all.length > 24 && (
          <input
            type="search"
            aria-label={words.classes.find}
            placeholder={words.classes.find}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
            data-not-copied
          />
        )}
      </header>
      <Grid
        label={words.classes.title}
        count={found.length}
        size={SIZE}
        captions={44}
        item={(number) => {
          const { one, place } = found[number] ?? { one: all[0] as ClassInfo, place: 0 };
          return <ClassTile key={one.name} info={one} place={place} classes={loaded.value} />;
        }}
      />
      <HowTo about="classImage" />
    </div>
  );
}

interface ClassTileProps {
  info: ClassInfo;
  place: number;
  classes: Classes;
}

function ClassTile({ info, place, classes }: ClassTileProps) {
  const { words } = useApp();
  const to = useAddress();
  return (
    <a class="class-tile" href={to({ kind: "class", name: info.name })} data-item style={{ width: `${SIZE}px` }}>
      <span class="frame" style={{ width: `${SIZE}px`, height: `${SIZE}px` }}>
        {info.image && classes.pictures ? (
          <Tile set={classes.pictures} number={place} size={SIZE} label="" />
        ) : (
          <span class="no-picture">{words.classes.noImage}</span>
        )}
      </span>
      <span class="clipped" dir="auto" title={info.name}>
        {info.name}
      </span>
      <small>{info.image ? fill(words.classes.probability, { value: probability(info.image.probability) }) : ""}</small>
    </a>
  );
}
