/** The strip of a filter: its strongest part of an image with one thing after another taken from it, and what stays. */

import type { Behaviour } from "../data/contract";
import { percent, plain } from "../numbers";
import { Tile } from "../pictures/tile";
import { useApp } from "../state/app";
import { fill } from "../words";
import type { FilterProps } from "./filter_body";
import { hasFewPixels } from "./filter_tile";
import { HowTo } from "./how_to";

/** Tiles, in their order; names of words. */
const TAKEN = ["whole", "grey", "window", "blurred", "shuffled", "scrambled", "tiles"] as const;

export function TakenAway({ layer, data, place, behaviour }: FilterProps & { behaviour: Behaviour }) {
  const { words } = useApp();
  if (!behaviour.perturbations) return null;
  const one = behaviour.perturbations[place];
  const unit = data.units[place] ?? place;
  const set = behaviour.strips;
  return (
    <section role="group" aria-label={words.taken.title}>
      <h2>{words.taken.title}</h2>
      {one ? (
        <>
          <ul class="taken">
            {TAKEN.map((name, number) => {
              const share = one.stays[number] ?? null;
              if (share === null) return null;
              const text = percent(share);
              return (
                <li key={name} title={words.taken.help[name]}>
                  {set && (
                    <Tile
                      set={set}
                      number={place * set.perUnit + number}
                      size={96}
                      label={fill(words.taken.label, { name: words.taken.names[name], value: text })}
                      file={`${layer.name}_${unit}_${name}`}
                      quiet
                      pixelated={hasFewPixels(layer)}
                    />
                  )}
                  <span class="stays">
                    <span style={{ width: `${Math.min(share, 1) * 100}%` }} />
                  </span>
                  <b>{text}</b>
                  <span>{words.taken.names[name]}</span>
                </li>
              );
            })}
          </ul>
          <p class="caption">
            {[
              fill(words.taken.parts, { n: one.crops, extent: plain(one.extent) }),
              one.stays[1] === null && words.functions.noColour,
              one.superadditivity !== null && fill(words.taken.together, { value: plain(one.superadditivity) }),
              one.participation !== null && fill(words.taken.participation, { value: percent(one.participation) }),
            ]
              .filter(Boolean)
              .join(" ")}
          </p>
        </>
      ) : (
        <p class="caption">{words.taken.nothing}</p>
      )}
      <HowTo about="taken" />
    </section>
  );
}
