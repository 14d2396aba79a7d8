/** "How to read this": two sentences beside each kind of picture. */

import { useWords } from "../state/app";
import type { Words } from "../words/en";

export function HowTo({ about }: { about: Exclude<keyof Words["howTo"], "title"> }) {
  const words = useWords();
  return (
    <details class="how-to" data-not-copied>
      <summary>{words.howTo.title}</summary>
      <p>{words.howTo[about]}</p>
    </details>
  );
}
