/** What a filter answers to as one parameter of a drawn image changes: small plots, all in one scale. */

import { type TuningCurve, isSilent, unitCurves } from "../data/behaviour";
import type { Behaviour } from "../data/contract";
import { formatted, plain } from "../numbers";
import { PLOTS, TuningPlot } from "../pictures/tuning_plot";
import { useApp } from "../state/app";
import { fill } from "../words";
import type { Words } from "../words/en";
import type { FilterProps } from "./filter_body";
import { HowTo } from "./how_to";

export function Tuning({ place, behaviour }: FilterProps & { behaviour: Behaviour }) {
  const { words } = useApp();
  const { tuning } = behaviour;
  if (!tuning) return null;
  const curves = unitCurves(tuning, place);
  if (!curves.size) return null;
  const best = tuning.best[place] ?? 0;
  const noise = best > 0 ? Math.min((tuning.noise[place] ?? 0) / best, 1) : 0;
  const shown = Object.keys(PLOTS).flatMap((of) => curves.get(of) ?? []);
  return (
    <section role="group" aria-label={words.tuning.title}>
      <h2>{words.tuning.title}</h2>
      {isSilent(curves) ? (
        <p class="caption">{words.tuning.silent}</p>
      ) : (
        <>
          <ul class="tuning">
            {shown.map((curve) => (
              <li key={curve.of} class={curve.status}>
                <h3>{words.tuning.names[curve.of] ?? curve.of}</h3>
                <TuningPlot
                  curve={curve}
                  beside={curve.of === "texture" ? curves.get("texture noise") : undefined}
                  noise={noise}
                  label={curveText(curve, words)}
                />
                <p>{captionOf(curve, words)}</p>
              </li>
            ))}
          </ul>
          <p class="caption">
            {[
              fill(words.tuning.scale, { best: plain(best) }),
              noise > 0 && words.tuning.noise,
              !curves.has("hue") && words.functions.noColour,
            ]
              .filter(Boolean)
              .join(" ")}
          </p>
        </>
      )}
      <HowTo about="tuning" />
    </section>
  );
}

/** "45° · 0.82", or that there is nothing to prefer. */
function captionOf(curve: TuningCurve, words: Words): string {
  if (curve.status === "none" || curve.status === "silent") return words.tuning.status.none;
  const selectivity =
    curve.selectivity === null ? null : fill(words.tuning.selectivity, { value: formatted("correlation", curve.selectivity) });
  return [preferredText(curve, words), selectivity, curve.status === "weak" && words.tuning.status.weak]
    .filter(Boolean)
    .join(" · ");
}

function curveText(curve: TuningCurve, words: Words): string {
  const name = words.tuning.names[curve.of] ?? curve.of;
  const peak = formatted("share", Math.max(...curve.responses, 0));
  return `${name}: ${captionOf(curve, words)}. ${fill(words.tuning.peak, { value: peak })}`;
}

/** The value that the unit prefers, with its unit. */
export function preferredText({ of, preferred }: TuningCurve, words: Words): string | null {
  if (preferred === null) return null;
  const names = { axis: words.tuning.axes, texture: words.tuning.textures }[of];
  if (names) return names[preferred] ?? plain(preferred);
  if (of === "corner" && preferred === 180) return words.tuning.straight;
  if (of === "curvature") return preferred === 0 ? words.tuning.straight : fill(words.tuning.radius, { n: plain(1 / preferred) });
  if (of === "frequency") return fill(words.tuning.pixels, { n: plain(1 / preferred) });
  if (of === "size" || of === "bar") return fill(words.tuning.pixels, { n: plain(preferred) });
  if (of === "brightness") return fill(words.tuning.level, { n: plain(preferred) });
  return `${Math.round(preferred)}°`;
}
