/** A family of filters around a circle: each at the angle by which the first must be turned to become it. */

import type { Diagnosis, FamilyInfo, LayerData, LayerInfo } from "../data/contract";
import { arrows, movedApart, tie } from "../data/diagnosis";
import { formatted } from "../numbers";
import { FilterTile } from "../parts/filter_tile";
import { bestKind } from "../parts/picture_kind";
import { useApp } from "../state/app";
import { useWidth } from "../state/width";
import { fill } from "../words";

/** Side of the square that so many members stand in. */
const SIDES = [
  [3, 270],
  [6, 310],
  [9, 350],
  [Number.POSITIVE_INFINITY, 460],
] as const;
/** Side of a member's picture. */
const LARGEST = 60;
const SMALLEST = 34;
/** Below a picture: the filter's number. */
const UNDER = 20;

/** Pictures as large as they can be around the circle, and how far apart they must stand, in degrees. */
function sizes(count: number): { side: number; tile: number; radius: number; apart: number } {
  const side = SIDES.find(([most]) => count <= most)?.[1] ?? 460;
  for (let tile = LARGEST; ; tile -= 2) {
    const radius = (side - tile - UNDER) / 2;
    // Upright boxes whose middles are a diagonal apart do not meet, in whatever direction that is.
    const apart = (360 / Math.PI) * Math.asin(Math.hypot(tile + 3, tile + UNDER + 3) / 2 / radius);
    if (count * apart <= 360 || tile <= SMALLEST) return { side, tile, radius, apart };
  }
}

/** Side of the circle where members stand beside it, as there is no room around it. */
const BESIDE = 150;

interface FamilyWheelProps {
  diagnosis: Diagnosis;
  family: FamilyInfo;
  layer: LayerInfo;
  data: LayerData;
}

export function FamilyWheel({ diagnosis, family, layer, data }: FamilyWheelProps) {
  const { words } = useApp();
  const [frame, room] = useWidth<HTMLDivElement>();
  const { members } = family;
  const around = sizes(members.length);
  const fits = room === 0 || around.side <= room;
  const side = fits ? around.side : BESIDE;
  const { radius, apart } = around;
  const tile = fits ? around.tile : LARGEST;
  const inner = fits ? radius - tile * 0.85 : BESIDE / 2 - 8;
  const middle = side / 2;
  const at = (degrees: number, far: number): [number, number] => {
    const turn = (degrees * Math.PI) / 180;
    return [middle + far * Math.cos(turn), middle - far * Math.sin(turn)];
  };
  const angles = movedApart(members.map((one) => one.angle ?? 0), apart);
  const ties = members.map((one) => tie(diagnosis, family, one.unit));
  const byKernels = ties.some((one) => one !== null && one.scale !== null);
  const shows = bestKind(data, members.map((one) => one.unit), byKernels ? ["kernel"] : []);
  const tiles = members.map((one, place) => {
    const [x, y] = at(angles[place] ?? 0, radius);
    const found = ties[place];
    const moved = found?.kind === "shifted" ? arrows(found.dy ?? 0, found.dx ?? 0) : "";
    const lies = moved || `${one.mirrored ? "⇋ " : ""}${Math.round(one.angle ?? 0)}°`;
    const turned = fill(words.diagnosis.member, { angle: Math.round(one.angle ?? 0) });
    const how = moved ? fill(words.diagnosis.moved, { arrows: moved }) : turned;
    const similarity = found?.similarity;
    return (
      <div
        key={one.unit}
        class="wheel-member"
        title={[
          `${layer.name}:${one.unit}`,
          one.mirrored ? `${words.diagnosis.mirrored}, ${how}` : how,
          place === 0
            ? words.diagnosis.first
            : similarity === undefined || similarity === null
              ? words.diagnosis.byOthers
              : fill(words.diagnosis.correlation, { value: formatted("correlation", similarity) }),
        ].join("; ")}
        style={fits ? { left: `${x - tile / 2}px`, top: `${y - (tile + UNDER) / 2}px`, width: `${tile}px` } : {}}
      >
        <FilterTile {...{ layer, data, shows }} place={data.units.indexOf(one.unit)} size={tile} value={lies} />
      </div>
    );
  });
  const circle = (
    <svg aria-hidden="true" width={side} height={side} viewBox={`0 0 ${side} ${side}`}>
      <circle class="rim" cx={middle} cy={middle} r={inner} />
      {members.map((one, place) => {
        const [x, y] = at(one.angle ?? 0, inner);
        const [toX, toY] = at(angles[place] ?? 0, radius - tile * 0.5);
        return (
          <g key={one.unit} class={one.mirrored ? "mirrored" : ""}>
            <line class="spoke" x1={middle} y1={middle} x2={x} y2={y} />
            {fits && <line class="lead" x1={x} y1={y} x2={toX} y2={toY} />}
            <circle class="dot" cx={x} cy={y} r={place ? 3 : 4.5} />
          </g>
        );
      })}
    </svg>
  );
  return (
    <div class="wheel-frame" ref={frame}>
      {fits ? (
        <div class="wheel" style={{ width: `${side}px`, height: `${side}px` }}>
          {circle}
          {tiles}
        </div>
      ) : (
        <div class="wheel-beside">
          {circle}
          <div class="wheel-members">{tiles}</div>
        </div>
      )}
    </div>
  );
}
