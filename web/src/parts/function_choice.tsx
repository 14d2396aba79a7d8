/** The labels of a layer's filters, how many have each, and the one that is kept: legend and filter in one. */

import type { LayerData } from "../data/contract";
import { LABELS, labelName } from "../data/functions";
import { useWords } from "../state/app";
import { fill } from "../words";
import { Swatch } from "./share_stack";

interface FunctionChoiceProps {
  data: LayerData;
  chosen: string | null;
  choose: (label: string | null) => void;
}

export function FunctionChoice({ data, chosen, choose }: FunctionChoiceProps) {
  const words = useWords();
  if (!data.functions) return null;
  const counts = new Map<string, number>();
  for (const one of data.functions) if (one) counts.set(one.label, (counts.get(one.label) ?? 0) + 1);
  return (
    <div class="function-choice" role="group" aria-label={words.functions.title}>
      {LABELS.filter((label) => counts.has(label)).map((label) => (
        <button
          type="button"
          key={label}
          class="chip"
          aria-pressed={chosen === label}
          aria-label={fill(words.functions.keep, { label: labelName(label, words), n: counts.get(label) ?? 0 })}
          onClick={() => choose(chosen === label ? null : label)}
        >
          <Swatch label={label} />
          {labelName(label, words)} <span class="count">{counts.get(label)}</span>
        </button>
      ))}
    </div>
  );
}
