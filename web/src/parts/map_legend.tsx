/** The colours of activation maps, and what full colour stands for. */

import { NEGATIVE, POSITIVE, ZERO } from "../data/maps";
import { useWords } from "../state/app";

/** As maps are coloured: cover grows faster than the value. */
const STOPS = [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1].map((share) => {
  const cover = Math.abs(share) ** 0.75;
  const colour = ZERO.map((zero, part) => Math.round(zero + ((share < 0 ? NEGATIVE : POSITIVE)[part] as number - zero) * cover));
  return `rgb(${colour.join(" ")})`;
});

/** `end`: what full colour stands for, in words or as a number. */
export function MapLegend({ end }: { end: string }) {
  const words = useWords();
  return (
    <span class="map-legend">
      <span>{"\u2212"}{end}</span>
      <span class="map-colours" role="img" aria-label={words.maps.colours} style={{ background: `linear-gradient(90deg, ${STOPS.join(", ")})` }} />
      <span>+{end}</span>
    </span>
  );
}
