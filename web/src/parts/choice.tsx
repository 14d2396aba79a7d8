/** One of a few, side by side. */

interface ChoiceProps<T extends string> {
  label: string;
  options: { id: T; name: string }[];
  chosen: T;
  choose: (id: T) => void;
}

export function Choice<T extends string>({ label, options, chosen, choose }: ChoiceProps<T>) {
  return (
    <div class="choice" role="radiogroup" aria-label={label} data-not-copied>
      {options.map(({ id, name }) => (
        <button
          type="button"
          role="radio"
          key={id}
          aria-checked={id === chosen}
          tabIndex={id === chosen ? 0 : -1}
          onClick={() => choose(id)}
          onKeyDown={(event) => {
            const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
            if (!step) return;
            event.preventDefault();
            event.stopPropagation();
            const at = (options.findIndex((one) => one.id === id) + step + options.length) % options.length;
            const next = options[at];
            if (!next) return;
            choose(next.id);
            (event.currentTarget.parentElement?.children[at] as HTMLElement | undefined)?.focus();
          }}
        >
          {name}
        </button>
      ))}
    </div>
  );
}
