/** How well a linear classifier tells the classes apart behind each layer, with intervals. */

import type { ProbeInfo } from "../data/contract";
import { percent } from "../numbers";

const HEIGHT = 300;
const LEFT = 44;
const RIGHT = 12;
const TOP = 10;
/** Room for names, which stand slanting. */
const FOOT = 84;
const LEAST = 22;
const SERIES = ["training", "validation"] as const;

interface ProbePlotProps {
  probes: ProbeInfo[];
  /** Ids of the layers in order, and what they are called. */
  layers: number[];
  name: (layer: number) => string;
  width: number;
  label: string;
}

export function ProbePlot({ probes, layers, name, width, label }: ProbePlotProps) {
  const room = width - LEFT - RIGHT;
  const step = room / Math.max(layers.length, 1);
  const x = (layer: number) => LEFT + step * (layers.indexOf(layer) + 0.5);
  const y = (share: number) => TOP + (HEIGHT - TOP - FOOT) * (1 - share);
  const classes = Math.max(...probes.map((one) => one.classes), 1);
  const every = Math.max(1, Math.ceil(LEAST / step));
  return (
    <svg class="probe-plot" role="img" aria-label={label} width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`}>
      {[0, 0.25, 0.5, 0.75, 1].map((share) => (
        <>
          <line key={share} class={share ? "grid-line" : "zero"} x1={LEFT} x2={width - RIGHT} y1={y(share)} y2={y(share)} />
          <text x={LEFT - 7} y={y(share) + 4} text-anchor="end">
            {percent(share)}
          </text>
        </>
      ))}
      <line class="chance" x1={LEFT} x2={width - RIGHT} y1={y(1 / classes)} y2={y(1 / classes)} />
      {layers.map((layer, place) =>
        place % every ? null : (
          <text key={layer} text-anchor="end" transform={`translate(${x(layer) + 4} ${HEIGHT - FOOT + 14}) rotate(-45)`}>
            {shortened(name(layer))}
          </text>
        ),
      )}
      {SERIES.map((of) => (
        <Series key={of} of={of} probes={probes.filter((one) => one.of === of)} x={x} y={y} />
      ))}
    </svg>
  );
}

interface SeriesProps {
  of: string;
  probes: ProbeInfo[];
  x: (layer: number) => number;
  y: (share: number) => number;
}

function Series({ of, probes, x, y }: SeriesProps) {
  const known = probes.flatMap((one) => (one.accuracy === null ? [] : [{ ...one, accuracy: one.accuracy }]));
  const path = known.map((one, place) => `${place ? "L" : "M"}${x(one.layer).toFixed(1)} ${y(one.accuracy).toFixed(1)}`);
  return (
    <g class={`series ${of}`}>
      {known.map(({ layer, low, high }) =>
        low === null || high === null ? null : (
          <path key={layer} class="interval" d={`M${x(layer).toFixed(1)} ${y(low).toFixed(1)}V${y(high).toFixed(1)}`} />
        ),
      )}
      <path class="line" d={path.join("")} />
      {known.map((one) => (
        <circle key={one.layer} class="dot" cx={x(one.layer)} cy={y(one.accuracy)} r={3} />
      ))}
    </g>
  );
}

/** The end of a name says more than its beginning. */
function shortened(name: string): string {
  return name.length > 15 ? `…${name.slice(-14)}` : name;
}
