/** Choosing the columns of the table. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import { Menu, SearchField } from "../../ui/basic";
import { plain } from "../../ui/terminal";
import { type Column, metricColumn, paramColumn, RECORD_COLUMNS } from "./columns";
import type { Known } from "./store";

const SHOWN = 60;

export function ColumnMenu(props: {
  known: ReadonlyMap<string, Known>;
  chosen: readonly string[];
  onChange: (keys: string[]) => void;
}): JSX.Element {
  const [search, setSearch] = useState("");
  const groups = useMemo(() => columnGroups(props.known), [props.known]);

  function toggle(key: string): void {
    const { chosen } = props;
    props.onChange(chosen.includes(key) ? chosen.filter((each) => each !== key) : [...chosen, key]);
  }

  return (
    <Menu label="Columns">
      <SearchField label="Find a column" value={search} onInput={setSearch} />
      {groups.map(([title, columns]) => {
        const found = columns.filter((column) => column.title.toLowerCase().includes(search.toLowerCase()));
        return (
          found.length > 0 && (
            <fieldset key={title}>
              <legend>{title}</legend>
              {found.slice(0, SHOWN).map((column) => (
                <label key={column.key} class="toggle">
                  <input
                    type="checkbox"
                    checked={props.chosen.includes(column.key)}
                    onChange={() => toggle(column.key)}
                  />
                  {plain(column.title)}
                </label>
              ))}
              {found.length > SHOWN && <p class="muted">and {found.length - SHOWN} more: type to find them</p>}
            </fieldset>
          )
        );
      })}
    </Menu>
  );
}

function columnGroups(known: ReadonlyMap<string, Known>): [string, readonly Column[]][] {
  const params = new Map<string, Column>();
  const metrics = new Map<string, Column>();
  for (const each of known.values()) {
    for (const name of Object.keys(each.params)) if (!params.has(name)) params.set(name, paramColumn(name));
    for (const { name, fields } of each.metrics) {
      for (const field of fields) {
        const column = metricColumn({ name, field });
        if (!metrics.has(column.key)) metrics.set(column.key, column);
      }
    }
  }
  const byTitle = (a: Column, b: Column): number => a.title.localeCompare(b.title, "en", { numeric: true });
  return [
    ["Run", RECORD_COLUMNS],
    ["Parameters", [...params.values()].sort(byTitle)],
    ["Metrics (last value)", [...metrics.values()].sort(byTitle)],
  ];
}
