/** A grid of many tiles of one size, of which only those near the screen exist: thousands scroll smoothly. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

interface GridProps {
  label: string;
  count: number;
  /** Side of a tile, in CSS pixels; its caption is `captions` high. */
  size: number;
  captions: number;
  item: (number: number) => ComponentChildren;
}

const GAP = 10;
/** Rows that exist above and below the screen. */
const SPARE = 3;

export function Grid({ label, count, size, captions, item }: GridProps) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [span, setSpan] = useState<[number, number]>([0, 12]);
  const row = size + captions + GAP;
  const across = Math.max(1, Math.floor((width + GAP) / (size + GAP)));
  const rows = Math.ceil(count / across);
  useLayoutEffect(() => {
    const measure = () => {
      const box = frame.current?.getBoundingClientRect();
      if (!box) return;
      setWidth(box.width);
      const first = Math.floor(-box.top / row) - SPARE;
      const last = Math.ceil((innerHeight - box.top) / row) + SPARE;
      setSpan((before) => (before[0] === first && before[1] === last ? before : [first, last]));
    };
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [row, count]);
  const first = Math.min(Math.max(span[0], 0), Math.max(rows - 1, 0));
  const last = Math.min(Math.max(span[1], first + 1), rows);
  const shown: ComponentChildren[] = [];
  for (let number = first * across; number < Math.min(last * across, count); number++) {
    shown.push(
      <div class="cell" role="listitem" aria-setsize={count} aria-posinset={number + 1} key={number}>
        {item(number)}
      </div>,
    );
  }
  return (
    <div class="grid" role="list" aria-label={label} ref={frame} style={{ height: `${rows * row - GAP}px` }}>
      {width > 0 && (
        <div
          class="cells"
          role="presentation"
          style={{
            transform: `translateY(${first * row}px)`,
            gridTemplateColumns: `repeat(${across}, ${size}px)`,
            gridAutoRows: `${size + captions}px`,
            gap: `${GAP}px`,
          }}
        >
          {shown}
        </div>
      )}
    </div>
  );
}
