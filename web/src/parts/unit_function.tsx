/** What one filter does: its shares with their intervals, and what they rest on. */

import { FUNCTIONS, type Shares, compoundName, labelName, shareText } from "../data/functions";
import { formatted, percent } from "../numbers";
import { useApp } from "../state/app";
import { fill } from "../words";
import type { FilterProps } from "./filter_body";
import { HowTo } from "./how_to";
import { ShareStack, Swatch } from "./share_stack";

export function UnitFunctionBox({ data, place }: FilterProps) {
  const { words } = useApp();
  const one = data.functions?.[place];
  if (!one) return null;
  const number = (name: string) => data.numbers[name]?.[place] ?? null;
  const some: Shares = { shares: FUNCTIONS.map(number), low: one.low, high: one.high };
  const known = some.shares.some((share) => share !== null);
  const [importance, selectivity] = [number("importance"), number("selectivity")];
  const compound = compoundName(one.compound, words);
  const label = labelName(one.label, words);
  return (
    <section role="group" aria-label={words.functions.title} class="unit-function">
      <h2>{words.functions.title}</h2>
      <p class="compound">
        <Swatch label={one.label} />
        <b>{compound}</b>
        {!compound.split(" + ").some((part) => part.endsWith(label)) && <span class="facts"> {label}</span>}
      </p>
      {known ? (
        <>
          <ShareStack shares={some.shares} />
          <ul class="share-bars">
            {FUNCTIONS.map((name, at) => (
              <li key={name}>
                <span>
                  <Swatch label={name} /> {labelName(name, words)}
                </span>
                <ShareBar some={some} at={at} name={name} />
                <span class="value" title={shareText(some, at, words)}>
                  {some.shares[at] === null ? words.functions.notApplicableShort : percent(some.shares[at])}
                </span>
              </li>
            ))}
          </ul>
        </>
      ) : (
        <p class="caption">{words.functions.dead}</p>
      )}
      <p class="caption">
        {[
          known && words.functions.interval,
          some.shares[0] === null && known && words.functions.noColour,
          importance !== null && fill(words.functions.importanceOf, { value: percent(importance) }),
          selectivity !== null && fill(words.functions.selectivityOf, { value: formatted("correlation", selectivity) }),
          one.missing && fill(words.functions.missing, { what: one.missing }),
        ]
          .filter(Boolean)
          .join(" ")}
      </p>
      <HowTo about="functions" />
    </section>
  );
}

/** A share as a bar, and a line over its interval. */
function ShareBar({ some, at, name }: { some: Shares; at: number; name: string }) {
  const { words } = useApp();
  const [share, low, high] = [some.shares[at] ?? 0, some.low[at] ?? 0, some.high[at] ?? 0];
  const text = `${labelName(name, words)} ${shareText(some, at, words)}`;
  return (
    <span class="share-bar" role="img" aria-label={text} title={text}>
      <span class={`function-${name}`} style={{ width: `${share * 100}%` }} />
      {high > low && <i style={{ left: `${low * 100}%`, width: `${(high - low) * 100}%` }} />}
    </span>
  );
}
