/** Choosing the columns of the run set. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import { natural, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { SearchField } from "../../ui/basic";
import { AGGREGATES, type Aggregate, type Column, metricColumn, paramColumn, RECORD_TITLES, recordColumn } from "./columns";
import { listing } from "./runs";
import { columns, metrics } from "./state";
import { show, view } from "./view";

const SHOWN = 40;

export function ColumnPicker(): JSX.Element {
  const [search, setSearch] = useState("");
  const [aggregate, setAggregate] = useState<Aggregate>("last");
  const groups = useMemo(() => groupsOf(aggregate), [aggregate, listing.value.rows, metrics.value]);
  const chosen = columns.value.map((column) => column.key);

  function toggle(key: string): void {
    show({ columns: chosen.includes(key) ? chosen.filter((each) => each !== key) : [...chosen, key] });
  }

  return (
    <div class="column-picker">
      <SearchField label="Find a column" value={search} onInput={setSearch} />
      {view.value.columns && (
        <button type="button" class="quiet" onClick={() => show({ columns: null })}>
          Choose them for me
        </button>
      )}
      <ul class="chosen-columns" aria-label="Columns, in their order">
        {columns.value.map((column, at) => (
          <li key={column.key}>
            <span>{plain(column.title)}</span>
            <button type="button" class="quiet" disabled={!at} aria-label={`Move ${column.title} to the front`} onClick={() => show({ columns: moved(chosen, at, -1) })}>
              ↑
            </button>
            <button
              type="button"
              class="quiet"
              disabled={at === chosen.length - 1}
              aria-label={`Move ${column.title} back`}
              onClick={() => show({ columns: moved(chosen, at, 1) })}
            >
              ↓
            </button>
            <button type="button" class="quiet" aria-label={`Remove ${column.title}`} onClick={() => toggle(column.key)}>
              ×
            </button>
          </li>
        ))}
      </ul>
      {groups.map(([title, all]) => {
        const found = all.filter((column) => column.title.toLowerCase().includes(search.toLowerCase()));
        return (
          <fieldset key={title}>
            <legend>
              {title}
              {title === "Metrics" && (
                <select aria-label="Value of a metric" value={aggregate} onChange={(event) => setAggregate(event.currentTarget.value as Aggregate)}>
                  {AGGREGATES.map((each) => (
                    <option key={each}>{each}</option>
                  ))}
                </select>
              )}
            </legend>
            {found.slice(0, SHOWN).map((column) => (
              <label key={column.key} class="toggle">
                <input type="checkbox" checked={chosen.includes(column.key)} onChange={() => toggle(column.key)} />
                {plain(column.title)}
              </label>
            ))}
            {found.length > SHOWN && <p class="muted">and {whole(found.length - SHOWN)} more: type to find them</p>}
          </fieldset>
        );
      })}
    </div>
  );
}

function groupsOf(aggregate: Aggregate): [string, Column[]][] {
  const params = new Set(listing.peek().rows.flatMap((run) => Object.keys(run.params ?? {})));
  const fields = metrics.peek().flatMap(({ name, fields }) => fields.map((field) => metricColumn({ name, field }, aggregate)));
  const byTitle = (a: Column, b: Column): number => natural(a.title, b.title);
  return [
    ["Run", Object.keys(RECORD_TITLES).map(recordColumn)],
    ["Parameters", [...params].map(paramColumn).sort(byTitle)],
    ["Metrics", fields.sort(byTitle)],
  ];
}

function moved(keys: readonly string[], at: number, by: number): string[] {
  const next = [...keys];
  const [taken] = next.splice(at, 1);
  next.splice(at + by, 0, taken!);
  return next;
}
