/** Shares of functions as one bar, and the legend of its colours. */

import type { ComponentChildren } from "preact";
import { FUNCTIONS, labelClass, labelName } from "../data/functions";
import { useWords } from "../state/app";

/** Side by side, or one on the other, the first at the bottom. */
export function ShareStack({ shares, upright }: { shares: (number | null)[]; upright?: boolean }) {
  return (
    <span class={`share-stack ${upright ? "upright" : ""}`} aria-hidden="true">
      {FUNCTIONS.map((name, place) => {
        const share = shares[place] ?? 0;
        return share > 0 ? <span key={name} class={`function-${name}`} style={{ flexGrow: share }} /> : null;
      })}
    </span>
  );
}

export function Swatch({ label }: { label: string }) {
  return <span class={`swatch function-${labelClass(label)}`} aria-hidden="true" />;
}

export function FunctionLegend({ children }: { children?: ComponentChildren }) {
  const words = useWords();
  return (
    <div class="function-legend">
      {children}
      <ul aria-label={words.functions.layersTitle}>
        {FUNCTIONS.map((name) => (
          <li key={name}>
            <Swatch label={name} />
            {labelName(name, words)}
          </li>
        ))}
      </ul>
    </div>
  );
}
