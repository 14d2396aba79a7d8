/** The diagnosis: verdicts worst first, and the plots that they rest on. */

import type { BlockInfo, Diagnosis, FamilyInfo, LayerInfo, ProbeInfo } from "../data/contract";
import { points } from "../data/diagnosis";
import { big, formatted, percent, plain } from "../numbers";
import { HowTo } from "../parts/how_to";
import { spectrumLabel, spectrumText } from "../parts/layer_findings";
import { DataTable } from "../parts/data_table";
import { Trouble } from "../parts/trouble";
import { VerdictBox } from "../parts/verdict";
import { FamilyWheel } from "../pictures/family_wheel";
import { ProbePlot } from "../pictures/probe_plot";
import { SpectrumPlot } from "../pictures/spectrum_plot";
import { replace, useAddress, useApp, useLoaded } from "../state/app";
import { useWidth } from "../state/width";
import { fill } from "../words";
import type { Words } from "../words/en";
import { NotFound } from "./not_found";

export function DiagnosisView() {
  const { atlas, words } = useApp();
  const loaded = useLoaded(() => (atlas.manifest.hasDiagnosis ? atlas.diagnosis() : null), [atlas]);
  if (!atlas.manifest.hasDiagnosis) return <NotFound what="path" values={{ path: "~diagnosis" }} />;
  if (!loaded.value) return <Trouble error={loaded.error} />;
  const diagnosis = loaded.value;
  const count = (level: string) => diagnosis.verdicts.filter((one) => one.level === level).length;
  const facts = [
    fill(words.diagnosis.warnings, { n: count("warning") }),
    fill(words.diagnosis.notes, { n: count("note") }),
    atlas.manifest.imageCount ? fill(words.count.images, { n: atlas.manifest.imageCount.toLocaleString("en") }) : words.count.noImages,
  ];
  return (
    <div class="diagnosis-view">
      <header class="view-head">
        <div>
          <h1>{words.diagnosis.title}</h1>
          <p class="facts">{facts.join(" · ")}</p>
        </div>
      </header>
      <Verdicts diagnosis={diagnosis} />
      <HowTo about="verdicts" />
      <Spectra diagnosis={diagnosis} />
      <Probes probes={diagnosis.probes} />
      <Blocks blocks={diagnosis.blocks} />
      <Families diagnosis={diagnosis} />
    </div>
  );
}

function Verdicts({ diagnosis }: { diagnosis: Diagnosis }) {
  const { route, words } = useApp();
  const to = useAddress();
  const { verdicts } = diagnosis;
  // What is open is part of the address; at first it is the worst.
  const asked = route.query["open"] ?? verdicts[0]?.kind ?? "";
  const open = asked.split(",").filter(Boolean);
  const toggle = (kind: string) => {
    const next = open.includes(kind) ? open.filter((one) => one !== kind) : [...open, kind];
    replace(to({ kind: "diagnosis" }, { ...route.query, open: next.join(",") }));
  };
  if (!verdicts.length) return <p class="note">{words.diagnosis.nothing}</p>;
  return (
    <section aria-label={words.diagnosis.list} class="verdicts">
      {verdicts.map((verdict) => (
        <VerdictBox key={verdict.kind} {...{ diagnosis, verdict }} open={open.includes(verdict.kind)} toggle={() => toggle(verdict.kind)} />
      ))}
    </section>
  );
}

function useLayers(): (id: number) => LayerInfo | undefined {
  const { atlas } = useApp();
  return (id) => atlas.manifest.layers.find((one) => one.id === id);
}

function LayerLink({ id }: { id: number }) {
  const layer = useLayers()(id);
  const to = useAddress();
  return layer ? <a href={to({ kind: "layer", layer: layer.name })}>{layer.name}</a> : <span>{id}</span>;
}

function Spectra({ diagnosis }: { diagnosis: Diagnosis }) {
  const { words } = useApp();
  const layerOf = useLayers();
  const { spectra } = diagnosis;
  if (!spectra.length) return null;
  const wide = new Set(
    diagnosis.verdicts.filter((one) => one.kind === "too many filters").flatMap((one) => one.findings.map(({ layer }) => layer)),
  );
  return (
    <section aria-label={words.diagnosis.spectra} class="plots">
      <h2>{words.diagnosis.spectra}</h2>
      <p class="caption">{words.diagnosis.spectraHelp}</p>
      <ul class="spectra">
        {spectra.map((one) => {
          const layer = layerOf(one.layer);
          if (!layer) return null;
          return (
            <li key={one.layer} class={wide.has(one.layer) ? "wide" : ""}>
              <h3>
                <LayerLink id={one.layer} />
              </h3>
              <SpectrumPlot spectrum={one} label={spectrumLabel(layer, one, words)} />
              <p>{spectrumText(one, words)}</p>
            </li>
          );
        })}
      </ul>
      <DataTable
        title={words.diagnosis.table}
        names={words.diagnosis.spectrumColumns}
        rows={spectra.map((one) => [
          <LayerLink id={one.layer} />,
          one.width,
          one.live,
          one.mergeable,
          one.dimension,
          range(one.low, one.high, String, words),
          plain(one.participation),
          one.recommended,
          percent(one.error),
        ])}
      />
      <HowTo about="spectra" />
    </section>
  );
}

function range(low: number | null, high: number | null, text: (value: number) => string, words: Words): string {
  return low === null || high === null ? words.diagnosis.unknown : fill(words.diagnosis.interval, { low: text(low), high: text(high) });
}

function Probes({ probes }: { probes: ProbeInfo[] }) {
  const { words } = useApp();
  const layerOf = useLayers();
  const [frame, width] = useWidth<HTMLElement>();
  if (!probes.length) return null;
  const name = (id: number) => layerOf(id)?.name ?? "";
  const layers = [...new Set(probes.map((one) => one.layer))];
  const held = probes.filter((one) => one.of === "validation");
  const [first, last] = [held[0], held[held.length - 1]];
  const best = held.reduce<ProbeInfo | undefined>((one, other) => ((other.accuracy ?? 0) > (one?.accuracy ?? -1) ? other : one), undefined);
  const label = fill(words.diagnosis.probesLabel, {
    n: layers.length,
    first: percent(first?.accuracy),
    from: first ? name(first.layer) : "",
    last: percent(last?.accuracy),
    to: last ? name(last.layer) : "",
    best: percent(best?.accuracy),
    at: best ? name(best.layer) : "",
    chance: percent(1 / (first?.classes ?? 1)),
  });
  return (
    <section aria-label={words.diagnosis.probes} class="plots" ref={frame}>
      <h2>{words.diagnosis.probes}</h2>
      <p class="caption">{words.diagnosis.probesHelp}</p>
      {width > 0 && <ProbePlot {...{ probes, layers, name, label }} width={Math.min(width, 980)} />}
      <DataTable
        title={words.diagnosis.table}
        names={words.diagnosis.probeColumns}
        rows={probes.map((one) => [
          <LayerLink id={one.layer} />,
          `${words.diagnosis.probedOn[one.of]} (${one.images.toLocaleString("en")})`,
          percent(one.accuracy),
          range(one.low, one.high, percent, words),
          one.features.toLocaleString("en"),
        ])}
      />
      <HowTo about="probes" />
    </section>
  );
}

function Blocks({ blocks }: { blocks: BlockInfo[] }) {
  const { words } = useApp();
  const tested = blocks.filter((one) => one.change !== null);
  if (!tested.length) return null;
  const lowest = Math.min(...tested.map((one) => one.low ?? one.change ?? 0), -0.01);
  const highest = Math.max(...tested.map((one) => one.high ?? one.change ?? 0), 0.01);
  const at = (value: number) => ((value - lowest) / (highest - lowest)) * 100;
  return (
    <section aria-label={words.diagnosis.blocks} class="plots">
      <h2>{words.diagnosis.blocks}</h2>
      <p class="caption">{words.diagnosis.blocksHelp}</p>
      <ul class="blocks">
        {tested.map((one) => {
          const change = one.change ?? 0;
          const [low, high] = [one.low ?? change, one.high ?? change];
          const text = fill(words.diagnosis.blockText, {
            change: points(change),
            low: points(low),
            high: points(high),
            influence: formatted("correlation", one.influence),
            parameters: big(one.parameters),
          });
          return (
            <li key={one.name}>
              <span class="clipped" title={one.name}>{one.name}</span>
              <span class="change" role="img" aria-label={`${one.name}: ${text}`}>
                <i class="none" style={{ left: `${at(0)}%` }} />
                <i class="bar" style={{ left: `${at(Math.min(change, 0))}%`, width: `${Math.abs(at(change) - at(0))}%` }} />
                <i class="interval" style={{ left: `${at(low)}%`, width: `${at(high) - at(low)}%` }} />
              </span>
              <span class="text">{text}</span>
            </li>
          );
        })}
      </ul>
      <HowTo about="blocks" />
    </section>
  );
}

function Families({ diagnosis }: { diagnosis: Diagnosis }) {
  const { words } = useApp();
  if (!diagnosis.families.length) return null;
  return (
    <section aria-label={words.diagnosis.families} class="plots">
      <h2>{words.diagnosis.families}</h2>
      <p class="caption">{words.diagnosis.familiesHelp}</p>
      <ul class="wheels">
        {diagnosis.families.map((family) => (
          <Wheel key={`${family.layer}:${family.unit}`} {...{ diagnosis, family }} />
        ))}
      </ul>
      <HowTo about="families" />
    </section>
  );
}

function Wheel({ diagnosis, family }: { diagnosis: Diagnosis; family: FamilyInfo }) {
  const { atlas, words } = useApp();
  const layer = useLayers()(family.layer);
  const data = useLoaded(() => (layer ? atlas.layer(layer) : null), [atlas, layer]);
  if (!layer) return null;
  return (
    <li>
      <h3>{fill(words.diagnosis.wheel, { layer: layer.name, unit: family.unit })}</h3>
      {data.value ? (
        <FamilyWheel {...{ diagnosis, family, layer }} data={data.value} />
      ) : (
        <div class="wheel">{data.error && <Trouble error={data.error} />}</div>
      )}
    </li>
  );
}
