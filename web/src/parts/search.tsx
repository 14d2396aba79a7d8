/** Find a layer, a filter or a class by its name. */

import { useMemo, useRef, useState } from "preact/hooks";
import type { Atlas } from "../data/atlas";
import { go, useAddress, useApp } from "../state/app";
import type { View } from "../state/route";

interface Found {
  view: View;
  name: string;
  kind: "layer" | "filter" | "class";
}

const MOST = 12;

export function Search() {
  const { atlas, words } = useApp();
  const to = useAddress();
  const [text, setText] = useState("");
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const [classes, setClasses] = useState<string[]>([]);
  const input = useRef<HTMLInputElement>(null);
  const found = useMemo(() => find(atlas, classes, text), [atlas, classes, text]);
  const choose = (one: Found | undefined) => {
    if (!one) return;
    setOpen(false);
    setText("");
    input.current?.blur();
    go(to(one.view));
  };
  return (
    <div class="search" data-not-copied>
      <input
        ref={input}
        id="search"
        type="search"
        role="combobox"
        list={undefined}
        autocomplete="off"
        aria-label={words.search.label}
        aria-expanded={open && text !== ""}
        aria-controls="search-results"
        aria-activedescendant={open && found[at] ? `found-${at}` : undefined}
        placeholder={`${words.nav.search}  /`}
        value={text}
        onFocus={() => {
          setOpen(true);
          if (atlas.manifest.hasClasses)
            atlas.classes().then(({ classes: all }) => setClasses(all.map((one) => one.name)), () => undefined);
        }}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
          setOpen(true);
        }}
        onKeyDown={(event) => {
          const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
          if (step) {
            event.preventDefault();
            setAt((at + step + Math.max(found.length, 1)) % Math.max(found.length, 1));
          } else if (event.key === "Enter") choose(found[at]);
        }}
      />
      {open && text && (
        <ul id="search-results" role="listbox" aria-label={words.search.results}>
          {found.map((one, place) => (
            <li
              key={`${one.kind} ${one.name}`}
              id={`found-${place}`}
              role="option"
              aria-selected={place === at}
              onMouseDown={(event) => {
                event.preventDefault();
                choose(one);
              }}
            >
              <span>{one.name}</span> <small>{words.search[one.kind]}</small>
            </li>
          ))}
          {!found.length && (
            <li role="option" aria-selected="false" aria-disabled="true">
              {words.search.none}
            </li>
          )}
        </ul>
      )}
    </div>
  );
}

/** What is meant by `text`: names that begin with it first, then names that hold it. */
export function find(atlas: Atlas, classes: string[], text: string): Found[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const found: Found[] = [];
  const unit = /^(.*?)[\s:/]+(\d+)$/.exec(wanted);
  if (unit) {
    for (const layer of matching(atlas.manifest.layers, (one) => one.name, unit[1] ?? "")) {
      if (Number(unit[2]) < layer.channels)
        found.push({
          view: { kind: "filter", layer: layer.name, unit: Number(unit[2]) },
          name: `${layer.name}:${unit[2]}`,
          kind: "filter",
        });
    }
  }
  for (const layer of matching(atlas.manifest.layers, (one) => one.name, wanted))
    found.push({ view: { kind: "layer", layer: layer.name }, name: layer.name, kind: "layer" });
  for (const name of matching(classes, (one) => one, wanted))
    found.push({ view: { kind: "class", name }, name, kind: "class" });
  return found.slice(0, MOST);
}

function matching<T>(all: T[], name: (one: T) => string, wanted: string): T[] {
  const hits = all.filter((one) => name(one).toLowerCase().includes(wanted));
  const place = (one: T) => (name(one).toLowerCase() === wanted ? 0 : name(one).toLowerCase().startsWith(wanted) ? 1 : 2);
  return hits.sort((one, other) => place(one) - place(other));
}
