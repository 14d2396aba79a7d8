/** What a half-finished atlas lacks, in plain words. */

import type { Manifest } from "../data/contract";
import { useWords } from "../state/app";
import { fill } from "../words";

export function MissingNote({ manifest }: { manifest: Manifest }) {
  const words = useWords();
  const unfinished = manifest.missing.some((one) => one.state === "unfinished");
  if (!manifest.missing.length) return null;
  return (
    <p class={`missing ${unfinished ? "unfinished" : ""}`} role="note">
      {unfinished && <strong>{words.missing.title} </strong>}
      {manifest.missing.map(({ lens, state }) => {
        if (lens === "run") return `${words.missing.run} `;
        const known = words.missing[state];
        return `${fill(lens in known ? known[lens as keyof typeof known] : known.other, { lens })} `;
      })}
    </p>
  );
}
