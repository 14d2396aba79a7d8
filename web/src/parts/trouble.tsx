/** While something is loaded, and when it cannot be. */

import { useWords } from "../state/app";
import { fill } from "../words";

export function Trouble({ error }: { error: Error | null }) {
  const words = useWords();
  if (!error) return <p class="loading">{words.loading}…</p>;
  return (
    <p class="trouble" role="alert">
      {fill(words.broken, { reason: error.message })}
    </p>
  );
}
