/** The eigenvalues of one layer's responses: how many directions carry them, beside how many filters there are. */

import type { SpectrumInfo } from "../data/contract";

const WIDTH = 190;
const HEIGHT = 92;
const FOOT = 14;
/** Decades of the variance that are shown: what lies below is rounding more than response. */
const DECADES = 5;

export function SpectrumPlot({ spectrum, label }: { spectrum: SpectrumInfo; label: string }) {
  const { shares, width, dimension, participation } = spectrum;
  const room = HEIGHT - FOOT;
  const step = WIDTH / Math.max(width, 1);
  const y = (share: number | null) => {
    const decades = share !== null && share > 0 ? -Math.log10(share) : DECADES;
    return Math.min(Math.max(decades, 0) / DECADES, 1) * room;
  };
  const outline = (first: number, last: number) =>
    shares
      .slice(first, last)
      .map((share, place) => `L${((first + place) * step).toFixed(2)} ${y(share).toFixed(1)}h${step.toFixed(2)}`)
      .join("");
  const area = (first: number, last: number) =>
    `M${(first * step).toFixed(2)} ${room}${outline(first, last)}L${(last * step).toFixed(2)} ${room}Z`;
  const edge = dimension * step;
  const [low, high] = [spectrum.low ?? dimension, spectrum.high ?? dimension];
  return (
    <svg class="spectrum-plot" role="img" aria-label={label} width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`}>
      {Array.from({ length: DECADES }, (_, decade) => (
        <line key={decade} class="grid-line" x1={0} x2={WIDTH} y1={(room * decade) / DECADES} y2={(room * decade) / DECADES} />
      ))}
      <path class="rest" d={area(Math.min(dimension, shares.length), shares.length)} />
      <path class="carries" d={area(0, Math.min(dimension, shares.length))} />
      <rect class="interval" x={low * step - 1} width={Math.max((high - low) * step, 0) + 2} y={0} height={room} />
      <line class="dimension" x1={edge} x2={edge} y1={0} y2={room} />
      <line class="zero" x1={0} x2={WIDTH} y1={room} y2={room} />
      {participation !== null && (
        <path class="participation" d={`M${participation * step} ${room + 1}l4 7h-8Z`} />
      )}
      <text x={WIDTH} y={HEIGHT - 2} text-anchor="end">
        {width}
      </text>
    </svg>
  );
}
