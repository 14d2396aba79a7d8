/** What a plot shows, as a table to be opened. */

import type { ComponentChildren } from "preact";

interface DataTableProps {
  title: string;
  names: string[];
  /** The first of each row is what the row is of. */
  rows: ComponentChildren[][];
}

export function DataTable({ title, names, rows }: DataTableProps) {
  return (
    <details class="how-to share-table" data-not-copied>
      <summary>{title}</summary>
      <div class="scrolled" tabIndex={0} role="region" aria-label={title}>
        <table>
          <thead>
            <tr>
              {names.map((name) => (
                <th scope="col" key={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(([first, ...others], place) => (
              <tr key={place}>
                <th scope="row">{first}</th>
                {others.map((value, column) => (
                  <td key={column}>{value}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
