/** The table of experiments: of any length, sorted by a click on a head, walked through by keys. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import type { ListedExperiment } from "../../api/types";
import { experimentPath, navigate } from "../../state/url";
import { Link, now, Status, Tags, Time } from "../../ui/basic";
import { duration, rounded, text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { VirtualList } from "../../ui/VirtualList";
import { type Column, seconds, valueOf } from "./columns";
import type { Known } from "./store";

const ROW = 38;

export interface Sorting {
  key: string;
  descending: boolean;
}

export function Table(props: {
  rows: readonly ListedExperiment[];
  columns: readonly Column[];
  known: ReadonlyMap<string, Known>;
  sorting: Sorting;
  folder: string;
  ticked: ReadonlySet<string>;
  onSort: (key: string) => void;
  onTick: (prefix: string) => void;
  onCompare: () => void;
  onRange: (first: number, last: number) => void;
}): JSX.Element {
  const { rows, columns } = props;
  const [active, setActive] = useState(-1);
  // keys may come faster than the table is drawn
  const latest = useRef(active);

  useEffect(() => {
    function onKey(event: KeyboardEvent): void {
      const field = event.target as HTMLElement;
      const isTick = field instanceof HTMLInputElement && field.type === "checkbox";
      const isField = !isTick && /^(INPUT|SELECT|TEXTAREA|BUTTON|SUMMARY)$/.test(field.tagName);
      if (isField || document.querySelector("dialog[open]")) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      const row = rows[latest.current];
      if (step) {
        latest.current = Math.max(0, Math.min(rows.length - 1, latest.current + step));
        setActive(latest.current);
      }
      else if (event.key === "Enter" && row && field.tagName !== "A") navigate(experimentPath(row.prefix));
      else if (event.key === "x" && row) props.onTick(row.prefix);
      else if (event.key === "c" && props.ticked.size) props.onCompare();
      else return;
      event.preventDefault();
    }
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });

  const template = `2.4rem minmax(14rem, 2.2fr) ${columns.map(width).join(" ")}`;
  const style = { gridTemplateColumns: template };
  return (
    <div
      class="table"
      role="table"
      aria-label="Experiments"
      aria-rowcount={rows.length + 1}
      style={{ minWidth: `${20 + columns.length * 8}rem` }}
    >
      <VirtualList
        count={rows.length}
        rowHeight={ROW}
        role="rowgroup"
        label="Experiments"
        onRange={props.onRange}
        {...(active >= 0 ? { active } : {})}
        header={
          <div role="row" class="grid-row grid-head" style={style}>
            <span role="columnheader" aria-label="Selected" />
            <Head title="Name" name="name" sorting={props.sorting} onSort={props.onSort} />
            {columns.map((column) => (
              <Head key={column.key} title={column.title} name={column.key} sorting={props.sorting} onSort={props.onSort} />
            ))}
          </div>
        }
        render={(index) => {
          const row = rows[index]!;
          return (
            <div
              key={row.id}
              role="row"
              aria-rowindex={index + 2}
              class={`grid-row ${index === active ? "active" : ""}`}
              style={{ ...style, height: `${ROW}px` }}
            >
              <span role="cell">
                <input
                  type="checkbox"
                  aria-label={`Select ${row.prefix}`}
                  checked={props.ticked.has(row.prefix)}
                  onChange={() => props.onTick(row.prefix)}
                />
              </span>
              <span role="cell" class="name">
                <Link href={experimentPath(row.prefix)} title={row.prefix}>
                  {plain(row.name)}
                </Link>
                <span class="muted place">{plain(place(row, props.folder))}</span>
                {row.problem && (
                  <span class="warn" title={row.problem}>
                    !
                  </span>
                )}
              </span>
              {columns.map((column) => (
                <span key={column.key} role="cell" class={column.kind === "record" ? "" : "value"}>
                  <Cell column={column} row={row} known={props.known.get(row.id)} />
                </span>
              ))}
            </div>
          );
        }}
      />
    </div>
  );
}

function Head(props: { title: string; name: string; sorting: Sorting; onSort: (key: string) => void }): JSX.Element {
  const sorted = props.sorting.key === props.name;
  const order = props.sorting.descending ? "descending" : "ascending";
  return (
    <span role="columnheader" aria-sort={sorted ? order : "none"}>
      <button type="button" class="head-button" title={props.title} onClick={() => props.onSort(props.name)}>
        <span class="head-text">{plain(props.title)}</span>
        {sorted && <span aria-hidden="true">{props.sorting.descending ? "↓" : "↑"}</span>}
      </button>
    </span>
  );
}

function Cell(props: { column: Column; row: ListedExperiment; known: Known | undefined }): JSX.Element {
  const { column, row } = props;
  if (column.kind === "record") {
    if (column.key === "status") return <Status of={row} />;
    if (column.key === "started") return <Time at={row.startedAt} />;
    if (column.key === "active") return <Time at={row.lastActivity} />;
    if (column.key === "tags") return <Tags tags={row.tags} />;
    if (column.key === "rows") return <>{whole(row.rows)}</>;
    if (column.key === "duration") {
      const taken = seconds(row, now.value);
      return <>{taken === null ? "–" : duration(taken)}</>;
    }
  }
  if (column.kind !== "record" && !props.known) return <span class="muted">…</span>;
  const value = valueOf(column, row, props.known, 0);
  const isMeasured = column.kind === "metric" && typeof value === "number";
  return <span title={text(value)}>{isMeasured ? rounded(value, 6) : text(value)}</span>;
}

/** Where an experiment is, below the folder that is shown. */
function place(row: ListedExperiment, folder: string): string {
  const parent = row.prefix.slice(0, -row.name.length - 1);
  return folder && parent.startsWith(folder) ? parent.slice(folder.length).replace(/^\//, "") : parent;
}

function width(column: Column): string {
  const rem = { status: 8, started: 8, active: 8, duration: 7, rows: 6, tags: 9 }[column.key] ?? 7;
  return `minmax(${rem}rem, ${rem / 8}fr)`;
}
