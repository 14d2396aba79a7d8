/** A tuning curve in a few pixels: around a circle, along a line, or as bars. */

import type { TuningCurve } from "../data/behaviour";
import { percent, plain } from "../numbers";

type Kind = "half turn" | "turn" | "hues" | "line" | "levels" | "bars";

/** What is shown of which curve, in this order. */
export const PLOTS: Record<string, Kind> = {
  orientation: "half turn",
  edge: "turn",
  hue: "hues",
  axis: "bars",
  frequency: "line",
  size: "line",
  bar: "line",
  corner: "bars",
  curvature: "line",
  brightness: "levels",
  texture: "bars",
};

const WIDTH = 140;
const HEIGHT = 100;
/** Room for what stands over the plot, and under its axis. */
const HEAD = 13;
const FOOT = 14;
const RADIUS = 40;

interface PlotProps {
  curve: TuningCurve;
  /** Held against the curve: the same for noise of the same spectrum. */
  beside?: TuningCurve | undefined;
  /** The largest response to noise, by the largest to anything. */
  noise: number;
  label: string;
}

export function TuningPlot(props: PlotProps) {
  const kind = PLOTS[props.curve.of] ?? "line";
  const around = kind === "half turn" || kind === "turn" || kind === "hues";
  return (
    <svg class="tuning-plot" role="img" aria-label={props.label} width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`}>
      {around ? <Round {...props} kind={kind} /> : kind === "bars" ? <Bars {...props} /> : <Line {...props} kind={kind} />}
    </svg>
  );
}

/** [x, y] of a point in a direction, counter-clockwise from the right. */
function at(degrees: number, radius: number): [number, number] {
  const turn = (degrees * Math.PI) / 180;
  return [WIDTH / 2 + radius * Math.cos(turn), HEIGHT / 2 - radius * Math.sin(turn)];
}

function path(points: [number, number][]): string {
  return points.map(([x, y], number) => `${number ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

function Round({ curve, noise, kind }: PlotProps & { kind: Kind }) {
  const rim = kind === "hues" ? RADIUS - 9 : RADIUS;
  const turns = kind === "half turn" ? [0, 180] : [0];
  const top = reach(curve);
  const points = turns.flatMap((turn) =>
    // What is below the response to grey has no room in a circle.
    curve.values.map((value, place) => at(value + turn, (Math.max(curve.responses[place] ?? 0, 0) / top) * rim)),
  );
  return (
    <>
      {kind === "hues" && <HueRing values={curve.values} inner={rim + 2} />}
      <circle class="rim" cx={WIDTH / 2} cy={HEIGHT / 2} r={rim} />
      {noise > 0 && noise <= top && <circle class="noise" cx={WIDTH / 2} cy={HEIGHT / 2} r={(noise / top) * rim} />}
      <text x={0} y={9}>
        {percent(top)}
      </text>
      <path class="curve closed" d={`${path(points)}Z`} />
      {curve.preferred !== null && kind !== "hues" && (
        <path
          class="preferred"
          d={turns.map((turn) => path([at((curve.preferred ?? 0) + turn, rim), at((curve.preferred ?? 0) + turn, rim + 5)])).join("")}
        />
      )}
      {curve.preferred !== null && kind === "hues" && (
        <path class="preferred" d={path([at(curve.preferred, rim + 1), at(curve.preferred, RADIUS + 5)])} />
      )}
    </>
  );
}

/** The hues as they are shown to the network: all of one luminance. */
function HueRing({ values, inner }: { values: number[]; inner: number }) {
  const half = 180 / Math.max(values.length, 1);
  return (
    <>
      {values.map((hue) => (
        <path
          key={hue}
          fill={hueColour(hue)}
          d={`${path([at(hue - half, inner), at(hue - half, RADIUS + 3), at(hue, RADIUS + 3), at(hue + half, RADIUS + 3), at(hue + half, inner)])}Z`}
        />
      ))}
    </>
  );
}

export function hueColour(hue: number): string {
  const parts = [0, 120, 240].map((turn) => Math.round(128 + 127 * Math.cos(((hue - turn) * Math.PI) / 180)));
  return `rgb(${parts.join(" ")})`;
}

/** What the plot reaches up to: the largest response; where that is next to nothing, the largest to anything. */
function reach(curve: TuningCurve, others: number[] = []): number {
  const most = Math.max(...curve.responses, ...others);
  return curve.status === "clear" || curve.status === "weak" ? most || 1 : 1;
}

/** From a response to its height, so that zero and what is below it have their room. */
function heights(responses: number[], top: number): (response: number) => number {
  // What pulls down further than anything lifts is cut off.
  const low = Math.max(Math.min(0, ...responses), -top);
  const room = HEIGHT - HEAD - FOOT - 2;
  return (response) => HEAD + (room * (top - Math.max(response, low))) / (top - low);
}

interface AxesProps {
  y: (response: number) => number;
  top: number;
  noise: number;
  first?: string;
  last?: string;
}

function Axes({ y, top, noise, first, last }: AxesProps) {
  return (
    <>
      <text x={1} y={9}>
        {percent(top)}
      </text>
      <line class="top" x1={0} x2={WIDTH} y1={y(top)} y2={y(top)} />
      <line class="zero" x1={0} x2={WIDTH} y1={y(0)} y2={y(0)} />
      {noise > 0 && noise <= top && <line class="noise" x1={0} x2={WIDTH} y1={y(noise)} y2={y(noise)} />}
      <text x={1} y={HEIGHT - 1}>
        {first}
      </text>
      <text x={WIDTH - 1} y={HEIGHT - 1} text-anchor="end">
        {last}
      </text>
    </>
  );
}

/** Octaves are as wide as each other, where all values are above zero. */
function Line({ curve, noise, kind }: PlotProps & { kind: Kind }) {
  const order = curve.values.map((_, place) => place).sort((one, other) => (curve.values[one] ?? 0) - (curve.values[other] ?? 0));
  const values = order.map((place) => curve.values[place] ?? 0);
  const responses = order.map((place) => curve.responses[place] ?? 0);
  const scale = kind === "line" && values.every((value) => value > 0) ? Math.log : (value: number) => value;
  const [low, high] = [scale(values[0] ?? 0), scale(values[values.length - 1] ?? 1)];
  // Waves are spoken of by their length.
  const shown = (value = 0) => plain(curve.of === "frequency" ? 1 / value : value);
  const x = (value: number) => 4 + ((WIDTH - 8) * (scale(value) - low)) / (high - low || 1);
  const top = reach(curve);
  const y = heights(responses, top);
  const points = values.map((value, place): [number, number] => [x(value), y(responses[place] ?? 0)]);
  return (
    <>
      {kind === "levels" &&
        values.map((level, place) => (
          <rect
            key={level}
            x={(WIDTH * place) / values.length}
            y={HEIGHT - FOOT + 4}
            width={WIDTH / values.length + 0.5}
            height={FOOT - 4}
            fill={`rgb(${level} ${level} ${level})`}
          />
        ))}
      <Axes
        y={y}
        top={top}
        noise={noise}
        {...(kind === "line" ? { first: shown(values[0]), last: shown(values[values.length - 1]) } : {})}
      />
      {points.length > 1 && (
        <path class="area" d={`${path([[points[0]?.[0] ?? 0, y(0)], ...points, [points[points.length - 1]?.[0] ?? 0, y(0)]])}Z`} />
      )}
      <path class="curve" d={path(points)} />
      {points.map(([left, top]) => (
        <circle key={left} class="dot" cx={left} cy={top} r={1.8} />
      ))}
    </>
  );
}

function Bars({ curve, beside, noise }: PlotProps) {
  const top = reach(curve, beside?.responses);
  const y = heights([...curve.responses, ...(beside?.responses ?? [])], top);
  const step = WIDTH / curve.values.length;
  const bar = Math.min(step * 0.72, 26);
  const best = curve.responses.indexOf(Math.max(...curve.responses));
  const degrees = curve.of === "corner";
  return (
    <>
      <Axes y={y} top={top} noise={noise} />
      {curve.responses.map((response, place) => {
        const left = step * (place + 0.5) - bar / 2;
        const other = beside?.responses[place];
        return (
          <>
            <rect
              key={place}
              class={place === best ? "bar best" : "bar"}
              x={left}
              width={bar}
              y={Math.min(y(response), y(0))}
              height={Math.abs(y(0) - y(response))}
            />
            {other !== undefined && (
              <line class="beside" x1={left - 1.5} x2={left + bar + 1.5} y1={y(Math.max(other, 0))} y2={y(Math.max(other, 0))} />
            )}
            {degrees && (
              <text x={step * (place + 0.5)} y={HEIGHT - 1} text-anchor="middle">
                {curve.values[place]}°
              </text>
            )}
            {curve.of === "axis" && <AxisMark number={place} x={step * (place + 0.5)} />}
          </>
        );
      })}
    </>
  );
}

const ENDS = [
  ["rgb(20 20 20)", "rgb(235 235 235)"],
  ["rgb(18 238 128)", "rgb(238 18 128)"],
  ["rgb(192 192 1)", "rgb(64 64 255)"],
];

/** Both ends of an axis of colour. */
function AxisMark({ number, x }: { number: number; x: number }) {
  const [one, other] = ENDS[number] ?? [];
  return (
    <>
      <rect x={x - 12} y={HEIGHT - FOOT + 4} width={12} height={FOOT - 5} fill={one} />
      <rect x={x} y={HEIGHT - FOOT + 4} width={12} height={FOOT - 5} fill={other} />
    </>
  );
}
