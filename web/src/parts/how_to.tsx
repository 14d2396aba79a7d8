/** "How to read this": two sentences beside each kind of picture. */

import { useWords } from "../state/app";
import type { Words } from "../words/en";

interface HowToProps {
  about: Exclude<keyof Words["howTo"], "title">;
  /** Instead of the usual one. */
  title?: string;
}

export function HowTo({ about, title }: HowToProps) {
  const words = useWords();
  return (
    <details class="how-to" data-not-copied>
      <summary>{title ?? words.howTo.title}</summary>
      <p>{words.howTo[about]}</p>
    </details>
  );
}
