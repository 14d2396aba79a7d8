/** The numbers of one filter, with what each of them means. */

import type { Column } from "../data/contract";
import { FUNCTION_NUMBERS } from "../data/functions";
import { formatted } from "../numbers";
import { useApp } from "../state/app";
import type { FilterProps } from "./filter_body";

export function Numbers({ atlas, data, place }: FilterProps) {
  const { words } = useApp();
  // What the filter does stands by itself.
  const known = atlas.manifest.columns.filter(
    (column) => !FUNCTION_NUMBERS.includes(column.id) && valueOf(data.numbers, column, place) !== null,
  );
  if (!known.length) return null;
  return (
    <section role="group" aria-label={words.filter.numbers}>
      <h2>{words.filter.numbers}</h2>
      <dl class="numbers">
        {known.map((column) => (
          <div key={column.id} title={words.columnHelp[column.id]} tabIndex={0}>
            <dt>{words.columns[column.id] ?? column.id}</dt>
            <dd>{formatted(column.kind, valueOf(data.numbers, column, place))}</dd>
            {words.columnHelp[column.id] && <span class="tip" role="tooltip">{words.columnHelp[column.id]}</span>}
          </div>
        ))}
      </dl>
    </section>
  );
}

function valueOf(numbers: Record<string, (number | null)[]>, column: Column, place: number): number | null {
  return numbers[column.id]?.[place] ?? null;
}
