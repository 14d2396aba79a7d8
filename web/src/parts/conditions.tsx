/** Which filters are kept: conditions on the numbers of the atlas. */

import { useState } from "preact/hooks";
import type { Column } from "../data/contract";
import { formatted } from "../numbers";
import { useWords } from "../state/app";
import type { Condition, Selection } from "../state/selection";
import { fill } from "../words";

interface ConditionsProps {
  columns: Column[];
  selection: Selection;
  choose: (selection: Selection) => void;
}

export function Conditions({ columns, selection, choose }: ConditionsProps) {
  const words = useWords();
  const [draft, setDraft] = useState<{ column: string; sign: Condition["sign"]; text: string }>({
    column: columns[0]?.id ?? "",
    sign: ">=",
    text: "",
  });
  const column = columns.find((one) => one.id === draft.column) ?? columns[0];
  if (!column) return null;
  const share = column.kind === "share";
  const add = () => {
    const value = Number(draft.text.replace(",", "."));
    if (draft.text.trim() === "" || !Number.isFinite(value)) return;
    const condition = { column: column.id, sign: draft.sign, value: share ? value / 100 : value };
    choose({ ...selection, conditions: [...selection.conditions, condition] });
    setDraft({ ...draft, text: "" });
  };
  return (
    <>
      <form
        class="conditions"
        onSubmit={(event) => {
          event.preventDefault();
          add();
        }}
      >
        <label>
          {words.layer.where}{" "}
          <select
            aria-label={words.layer.column}
            value={column.id}
            onChange={(event) => setDraft({ ...draft, column: event.currentTarget.value })}
          >
            {columns.map((one) => (
              <option key={one.id} value={one.id}>
                {words.columns[one.id] ?? one.id}
              </option>
            ))}
          </select>
        </label>
        <select
          aria-label={`${words.layer.atLeast}, ${words.layer.atMost}`}
          value={draft.sign}
          onChange={(event) => setDraft({ ...draft, sign: event.currentTarget.value as Condition["sign"] })}
        >
          <option value=">=">{words.layer.atLeast}</option>
          <option value="<=">{words.layer.atMost}</option>
        </select>
        <input
          type="text"
          inputMode="decimal"
          size={5}
          aria-label={words.layer.value}
          value={draft.text}
          onInput={(event) => setDraft({ ...draft, text: event.currentTarget.value })}
        />
        {share && <span>%</span>}
        <button type="submit" aria-label={words.layer.add} title={words.layer.add}>
          +
        </button>
      </form>
      {selection.conditions.map((condition, place) => {
        const kind = columns.find((one) => one.id === condition.column)?.kind ?? "number";
        const what = `${words.columns[condition.column] ?? condition.column} ${condition.sign === ">=" ? "≥" : "≤"} ${formatted(kind, condition.value)}`;
        return (
          <button
            type="button"
            class="chip"
            key={what}
            aria-label={fill(words.layer.remove, { what })}
            onClick={() =>
              choose({ ...selection, conditions: selection.conditions.filter((_, other) => other !== place) })
            }
          >
            {what} ✕
          </button>
        );
      })}
    </>
  );
}
