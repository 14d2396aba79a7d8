/** What a verdict speaks of, a row a layer: its filters side by side, pairs with what they have to do with each other. */

import type { Diagnosis, FamilyInfo, FindingInfo, LayerData, LayerInfo, Verdict } from "../data/contract";
import { relationsBehind, valueText } from "../data/diagnosis";
import { SpectrumPlot } from "../pictures/spectrum_plot";
import { useAddress, useApp, useLoaded } from "../state/app";
import { fill } from "../words";
import { FilterTile, type Shows } from "./filter_tile";
import { relationMark, relationText } from "./finding_words";
import { spectrumLabel } from "./layer_findings";
import { bestKind } from "./picture_kind";
import { Trouble } from "./trouble";

const SIZE = 72;
/** Filters of a layer that are shown: the layer itself shows all. */
const MOST = 36;
const OF_WIDTH = ["too many filters", "candidate for more filters"];
const APPROXIMATE = ["near", "near combination"];

interface FindingRowsProps {
  diagnosis: Diagnosis;
  verdict: Verdict;
  /** Each stands beside those that it is related to. */
  related: boolean;
}

export function FindingRows({ diagnosis, verdict, related }: FindingRowsProps) {
  const { atlas } = useApp();
  const layers = atlas.manifest.layers.filter((layer) => verdict.findings.some((one) => one.layer === layer.id));
  if (!layers.length) return null;
  return (
    <div class="finding-rows">
      {layers.map((layer) => {
        const findings = verdict.findings.filter((one) => one.layer === layer.id);
        return <LayerRow key={layer.id} {...{ diagnosis, verdict, related, layer, findings }} />;
      })}
    </div>
  );
}

interface LayerRowProps extends FindingRowsProps {
  layer: LayerInfo;
  findings: FindingInfo[];
}

function LayerRow({ diagnosis, verdict, related, layer, findings }: LayerRowProps) {
  const { words } = useApp();
  const to = useAddress();
  const spectrum = OF_WIDTH.includes(verdict.kind) ? diagnosis.spectra.find((one) => one.layer === layer.id) : undefined;
  const whole = findings.find((one) => one.unit === null);
  return (
    <div class="finding-row">
      <a class="by-layer-name" href={to({ kind: "layer", layer: layer.name })}>
        {layer.name}
      </a>
      {whole ? (
        <span> {valueText(diagnosis, verdict.kind, whole)}</span>
      ) : (
        <Filters {...{ diagnosis, verdict, related, layer, findings }} />
      )}
      {spectrum && <SpectrumPlot spectrum={spectrum} label={spectrumLabel(layer, spectrum, words)} />}
    </div>
  );
}

function Filters({ diagnosis, verdict, related, layer, findings }: LayerRowProps) {
  const { atlas, words } = useApp();
  const loaded = useLoaded(() => atlas.layer(layer), [atlas, layer]);
  const data = loaded.value;
  if (!data) return <div class="awaited-tiles">{loaded.error && <Trouble error={loaded.error} />}</div>;
  const some = findings.slice(0, MOST);
  const families = verdict.kind === "family" ? diagnosis.families.filter((one) => one.layer === layer.id) : [];
  const ties = some.map((finding) => (related ? relationsBehind(diagnosis, verdict.kind, finding) : []));
  const units = [...some.map((one) => one.unit ?? 0), ...ties.flat().map((one) => one.other)];
  const shows = bestKind(data, units);
  const tile = (unit: number, value: string) => (
    <FilterTile key={unit} {...{ layer, data, shows, value }} place={data.units.indexOf(unit)} size={SIZE} />
  );
  if (families.length)
    return (
      <div class="families">
        {families.map((family) => (
          <FamilyRow key={family.unit} {...{ family, layer, data, shows }} />
        ))}
      </div>
    );
  return (
    <div class="by-layer-tiles">
      {some.map((finding, at) =>
        ties[at]?.length ? (
          <div class="kinship" key={finding.unit}>
            {tile(finding.unit ?? 0, APPROXIMATE.includes(verdict.kind) ? valueText(diagnosis, verdict.kind, finding) : "")}
            <span class="sign" aria-hidden="true">
              {APPROXIMATE.includes(verdict.kind) ? "≈" : "="}
            </span>
            {ties[at].map((one) => (
              <span key={one.other} title={relationText(one, words)}>
                {tile(one.other, relationMark(one))}
              </span>
            ))}
          </div>
        ) : (
          tile(finding.unit ?? 0, valueText(diagnosis, verdict.kind, finding))
        ),
      )}
      {findings.length > MOST && <p class="note">{fill(words.diagnosis.more, { n: findings.length - MOST })}</p>}
    </div>
  );
}

/** A family side by side, each with how it lies. */
function FamilyRow({ family, layer, data, shows }: { family: FamilyInfo; layer: LayerInfo; data: LayerData; shows: Shows }) {
  return (
    <div class="by-layer-tiles">
      {family.members.map((one) => (
        <FilterTile
          key={one.unit}
          {...{ layer, data, shows }}
          place={data.units.indexOf(one.unit)}
          size={SIZE}
          value={`${one.mirrored ? "⇋ " : ""}${Math.round(one.angle ?? 0)}°`}
        />
      ))}
    </div>
  );
}
