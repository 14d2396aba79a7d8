/** A histogram in a few pixels: bars, and the line at zero above which a filter fires. */

import type { HistogramInfo } from "../data/contract";
import { plain } from "../numbers";
import { useWords } from "../state/app";
import { fill } from "../words";

interface HistogramProps {
  histogram: HistogramInfo;
  width: number;
  height: number;
  /** With its numbers at the axis. */
  axis?: boolean;
}

export function Histogram({ histogram: { width: step, first, counts }, width, height, axis }: HistogramProps) {
  const words = useWords();
  // Zero is always shown: what matters is on which side of it the bars stand.
  const start = Math.min(first, 0);
  const end = Math.max(first + counts.length, 1);
  const bar = width / (end - start);
  const most = Math.max(...counts, 1);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const above = counts.reduce((sum, count, place) => sum + (first + place >= 0 ? count : 0), 0);
  const zero = -start * bar;
  const label = fill(words.filter.histogramLabel, {
    n: total,
    low: plain(first * step),
    high: plain((first + counts.length) * step),
    above,
  });
  return (
    <svg
      class="histogram"
      role="img"
      aria-label={label}
      width={width}
      height={height + (axis ? 16 : 0)}
      viewBox={`0 0 ${width} ${height + (axis ? 16 : 0)}`}
    >
      {counts.map((count, place) => {
        // Square roots: a bar of one among thousands is still seen.
        const tall = count ? Math.max(1, Math.sqrt(count / most) * height) : 0;
        const x = (first + place - start) * bar;
        return (
          <rect
            key={place}
            class={first + place >= 0 ? "fires" : "silent"}
            x={x}
            y={height - tall}
            width={Math.max(bar - (bar > 3 ? 1 : 0), 0.5)}
            height={tall}
          />
        );
      })}
      <line class="zero" x1={zero} x2={zero} y1={0} y2={height} />
      {axis && (
        <g class="axis">
          <text x={0} y={height + 12}>
            {plain(start * step)}
          </text>
          {zero > 30 && zero < width - 30 && (
            <text x={zero} y={height + 12} text-anchor="middle">
              0
            </text>
          )}
          <text x={width} y={height + 12} text-anchor="end">
            {plain(end * step)}
          </text>
        </g>
      )}
    </svg>
  );
}
