/** What was found of one layer: its directions beside its width, and how many of its filters something is said of. */

import type { Diagnosis, LayerInfo, SpectrumInfo } from "../data/contract";
import { findingsOf } from "../data/diagnosis";
import { percent, plain } from "../numbers";
import { SpectrumPlot } from "../pictures/spectrum_plot";
import { useApp } from "../state/app";
import { fill } from "../words";
import type { Words } from "../words/en";
import { KindLink, LevelSign } from "./finding_words";

export function LayerFindings({ layer, diagnosis }: { layer: LayerInfo; diagnosis: Diagnosis }) {
  const { words } = useApp();
  const whole = findingsOf(diagnosis, layer, null);
  const spectrum = diagnosis.spectra.find((one) => one.layer === layer.id);
  const units = diagnosis.verdicts.flatMap((verdict) => {
    const count = new Set(verdict.findings.filter((one) => one.layer === layer.id && one.unit !== null).map((one) => one.unit)).size;
    return count ? [{ verdict, count }] : [];
  });
  if (!whole.length && !spectrum && !units.length) return null;
  return (
    <section role="group" aria-label={words.diagnosis.title} class={`layer-findings ${whole.some((one) => one.verdict.kind === "too many filters") ? "wide" : ""}`}>
      {spectrum && <SpectrumPlot spectrum={spectrum} label={spectrumLabel(layer, spectrum, words)} />}
      <div>
        {spectrum && <p>{spectrumText(spectrum, words)}</p>}
        {units.length > 0 && (
          <ul class="kinds">
            {units.map(({ verdict, count }) => (
              <li key={verdict.kind}>
                <LevelSign level={verdict.level} /> <KindLink kind={verdict.kind} count={count} />
              </li>
            ))}
          </ul>
        )}
        {whole.map(({ verdict, finding }) => (
          <p key={verdict.kind}>
            <LevelSign level={verdict.level} /> <KindLink kind={verdict.kind} />: <span lang="en">{finding.evidence}</span>
          </p>
        ))}
      </div>
    </section>
  );
}

export function spectrumLabel(layer: LayerInfo, spectrum: SpectrumInfo, words: Words): string {
  const { dimension, width, participation } = spectrum;
  return fill(words.diagnosis.spectrumLabel, { layer: layer.name, dimension, width, participation: plain(participation) });
}

/** A layer's directions in a sentence or two. */
export function spectrumText(spectrum: SpectrumInfo, words: Words): string {
  const { dimension, width, low, high, recommended, error, participation } = spectrum;
  const within = low !== null && high !== null && ` (${fill(words.diagnosis.interval, { low, high })})`;
  return [
    `${fill(words.diagnosis.directions, { n: dimension, width })}${within || ""}`,
    fill(words.diagnosis.participation, { value: plain(participation) }),
    recommended < width && fill(words.diagnosis.enough, { n: recommended, error: percent(error) }),
  ]
    .filter(Boolean)
    .join(" · ");
}
