/** One verdict: its number and its claim; opened, the filters or layers that it speaks of side by side. */

import type { Diagnosis, FindingInfo, LayerInfo, Verdict } from "../data/contract";
import { points, relationsBehind, valueText } from "../data/diagnosis";
import { percent, plain } from "../numbers";
import { Tile } from "../pictures/tile";
import { useAddress, useApp } from "../state/app";
import { fill } from "../words";
import { FindingRows } from "./finding_rows";
import { hasFewPixels } from "./filter_tile";
import { LevelSign, kindName } from "./finding_words";

/** Pictures beside a verdict, and findings whose evidence is listed: the command tells them all. */
const BESIDE = 5;
const LISTED = 100;

interface VerdictProps {
  diagnosis: Diagnosis;
  verdict: Verdict;
  open: boolean;
  toggle: () => void;
}

export function VerdictBox({ diagnosis, verdict, open, toggle }: VerdictProps) {
  const { words } = useApp();
  return (
    <details class="verdict" open={open}>
      <summary
        data-item
        onClick={(event) => {
          event.preventDefault();
          toggle();
        }}
      >
        <LevelSign level={verdict.level} />
        <VerdictNumber verdict={verdict} />
        <span class="verdict-words">
          <b>{kindName(verdict.kind, words)}</b>
          <span class="claim" lang="en">
            {verdict.claim}
          </span>
        </span>
        <Beside verdict={verdict} />
      </summary>
      {open && <Opened diagnosis={diagnosis} verdict={verdict} />}
    </details>
  );
}

function VerdictNumber({ verdict }: { verdict: Verdict }) {
  const { atlas, words } = useApp();
  const { layers } = atlas.manifest;
  const { number, findings } = verdict;
  if (number === "none") return <span class="verdict-number" />;
  if (number === "filters" || number === "layers") {
    const filters = number === "filters";
    const count = new Set(findings.map((one) => (filters ? `${one.layer}:${one.unit}` : one.layer))).size;
    const all = filters ? layers.reduce((sum, layer) => sum + layer.channels, 0) : layers.length;
    return (
      <span class="verdict-number">
        <b>{count.toLocaleString("en")}</b>
        <small>{fill(filters ? words.diagnosis.ofFilters : words.diagnosis.ofLayers, { n: all.toLocaleString("en") })}</small>
      </span>
    );
  }
  const [first] = findings;
  const text = { share: percent, points: (value: number | null | undefined) => points(value ?? null), number: plain }[number];
  const said = number === "points" ? [words.diagnosis.points] : [];
  if (first && first.low !== null && first.high !== null)
    said.push(fill(words.diagnosis.interval, { low: text(first.low), high: text(first.high) }));
  return (
    <span class="verdict-number">
      <b>{text(first?.value)}</b>
      <small>{said.join(", ")}</small>
    </span>
  );
}

/** The first filters that it speaks of, small. */
function Beside({ verdict }: { verdict: Verdict }) {
  const { atlas } = useApp();
  const { layers, overview } = atlas.manifest;
  const set = overview.optimum ?? overview.patch ?? overview.kernel;
  const some = verdict.findings.filter((one) => one.unit !== null).slice(0, BESIDE);
  return (
    <span class="verdict-tiles" aria-hidden="true">
      {some.map((one) => {
        const layer = layers.find((each) => each.id === one.layer);
        return (
          layer && (
            <Tile key={`${one.layer}:${one.unit}`} set={set} number={layer.firstPicture + (one.unit ?? 0)} size={40} label="" pixelated={hasFewPixels(layer)} />
          )
        );
      })}
    </span>
  );
}

function Opened({ diagnosis, verdict }: { diagnosis: Diagnosis; verdict: Verdict }) {
  const { words } = useApp();
  const [first, ...others] = verdict.findings;
  const means = words.diagnosis.means[verdict.kind];
  const related = verdict.findings.some((one) => relationsBehind(diagnosis, verdict.kind, one).length > 0);
  return (
    <div class="verdict-body">
      {means && <p>{means}</p>}
      <FindingRows diagnosis={diagnosis} verdict={verdict} related={related} />
      {first && (
        <div class="evidence">
          <p class="evidence-title">{words.diagnosis.evidence}</p>
          <Evidence diagnosis={diagnosis} verdict={verdict} finding={first} />
        </div>
      )}
      {others.length > 0 && (
        <details class="how-to evidence">
          <summary>{fill(words.diagnosis.every, { n: verdict.findings.length })}</summary>
          {verdict.findings.slice(0, LISTED).map((finding) => (
            <Evidence key={`${finding.layer}:${finding.unit}`} {...{ diagnosis, verdict, finding }} />
          ))}
          {verdict.findings.length > LISTED && <p>{fill(words.diagnosis.more, { n: verdict.findings.length - LISTED })}</p>}
        </details>
      )}
      <p class="command" data-not-copied>
        {words.diagnosis.command} <code>{verdict.command}</code>
      </p>
    </div>
  );
}

interface EvidenceProps {
  diagnosis: Diagnosis;
  verdict: Verdict;
  finding: FindingInfo;
}

function Evidence({ diagnosis, verdict, finding }: EvidenceProps) {
  const { atlas } = useApp();
  const to = useAddress();
  const layer = atlas.manifest.layers.find((one) => one.id === finding.layer);
  const value = valueText(diagnosis, verdict.kind, finding);
  return (
    <p>
      {layer && <a href={place(layer, finding, to)}>{placeText(layer, finding)}</a>}
      {layer && value && <b> {value}</b>}
      {layer && ": "}
      <span lang="en">{finding.evidence}</span>
    </p>
  );
}

function place(layer: LayerInfo, finding: FindingInfo, to: ReturnType<typeof useAddress>): string {
  if (finding.unit === null) return to({ kind: "layer", layer: layer.name });
  return to({ kind: "filter", layer: layer.name, unit: finding.unit });
}

function placeText(layer: LayerInfo, finding: FindingInfo): string {
  return finding.unit === null ? layer.name : `${layer.name}:${finding.unit}`;
}
