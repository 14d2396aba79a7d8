/** A filter's own weights, and the one filter of pixels that comes nearest to what it does. */

import { formatted } from "../numbers";
import { Tile } from "../pictures/tile";
import { useApp } from "../state/app";
import { fill } from "../words";
import type { FilterProps } from "./filter_body";
import { HowTo } from "./how_to";

export function Kernel({ layer, data, place }: FilterProps) {
  const { words } = useApp();
  const set = data.pictures.kernel;
  if (!set) return null;
  const unit = data.units[place] ?? place;
  const slices = data.slices?.[place] ?? [];
  const many = slices.length > 1;
  return (
    <section role="group" aria-label={words.filter.kernel}>
      <h2>
        {words.filter.kernel}
        {many && <small> {words.filter.slices}</small>}
      </h2>
      {slices.length === 0 ? (
        <Tile
          set={set}
          number={place * set.perUnit}
          size={150}
          label={fill(words.filter.kernelColour, { unit, layer: layer.name })}
          file={`${layer.name}_${unit}_kernel`}
          pixelated
        />
      ) : (
        <div class="kernel-slices">
          {slices.map((channel, slice) => (
            <figure key={channel}>
              <Tile
                set={set}
                number={place * set.perUnit + slice}
                size={many ? 48 : 96}
                label={fill(words.filter.kernelSlice, { channel })}
                file={`${layer.name}_${unit}_kernel_${channel}`}
                pixelated
              />
              <figcaption>{channel}</figcaption>
            </figure>
          ))}
        </div>
      )}
      <HowTo about="kernel" />
    </section>
  );
}

export function EffectiveKernel({ layer, data, place }: FilterProps) {
  const { words } = useApp();
  const info = data.effective?.[place];
  const set = data.pictures.effective;
  if (!info || !set) return null;
  const unit = data.units[place] ?? place;
  const [linearity, floor] = [info.linearity, info.floor].map((value) => formatted("correlation", value)) as [string, string];
  const values = { linearity, floor, images: info.images };
  return (
    <section role="group" aria-label={words.filter.effective}>
      <h2>{words.filter.effective}</h2>
      <Tile
        set={set}
        number={place * set.perUnit}
        size={Math.max(...info.size) > 24 ? 220 : 150}
        label={fill(words.filter.effectiveLabel, { unit, layer: layer.name, ...values })}
        file={`${layer.name}_${unit}_effective_kernel`}
        pixelated={Math.max(...info.size) <= 24}
      />
      <p class="caption">
        {fill(words.filter.linearity, values)}
        {info.floor !== null && fill(words.filter.floor, values)}
      </p>
      <HowTo about="effective" />
    </section>
  );
}
