/** An address that leads nowhere: what was asked for, and the way back. */

import { useAddress, useWords } from "../state/app";
import { fill } from "../words";

interface NotFoundProps {
  what: "layer" | "unit" | "class" | "path";
  values: Record<string, string | number>;
}

export function NotFound({ what, values }: NotFoundProps) {
  const words = useWords();
  const to = useAddress();
  return (
    <div class="not-found">
      <h1>{words.notFound.title}</h1>
      <p>{fill(words.notFound[what], values)}</p>
      <p>
        <a href={to({ kind: "overview" })}>{words.notFound.back}</a>
      </p>
    </div>
  );
}
