/** The left side of the workspace: which runs there are, found, sorted, and drawn or not. */

import { effect } from "@preact/signals";
import { Columns3, Download, Layers, Palette, PanelLeftClose, Table2 } from "lucide-preact";
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { now } from "../../ui/basic";
import { clean, several, text, whole } from "../../ui/format";
import { Popover } from "../../ui/Popover";
import { plain } from "../../ui/terminal";
import { BulkBar } from "./BulkBar";
import { ColumnPicker } from "./ColumnPicker";
import { type Column, valueOf } from "./columns";
import { FilterField } from "./FilterField";
import { ColorPicker, GroupPicker } from "./GroupPicker";
import { saveTable } from "./csv";
import { NAME as NAME_KEY, sizing, widened, widthAtFirst, widthOf, widthOfTexts } from "./heads/layout";
import { DRAWN_MAX, GROUPED_MAX, listing } from "./runs";
import { RunTable } from "./RunTable";
import { areColumnsKnown, asked, coloring, columns, drawn, groups, groupsDrawn, isGrouped } from "./state";
import { show, view } from "./view";
import { FIRST } from "./visible";

/** Pixels of the name's column, and of what stands before it and beside the table. */
const [NAME, NAME_WIDE, BESIDE] = [110, 240, 66];
/** The name has this share of a wide run set; a group's, which says what its runs have alike, has so many pixels. */
const [NAME_SHARE, NAME_OF_GROUP] = [0.3, 150];
/** Runs by whose values columns of the full table are made as wide as they are. */
const LOOKED = 50;

export function RunSet(props: {
  width: number;
  active: number;
  onActive: (at: number) => void;
  onRange: (first: number, last: number) => void;
  onClose: () => void;
  /** Asks for all rows that the filter has, so that they can be saved. */
  reachAll: () => Promise<void>;
}): JSX.Element {
  const { asked: answered, total, error, pending, problems, rows } = listing.value;
  const { table, filter, folder } = view.value;
  const known = areColumnsKnown.value ? columns.value : [];
  const name = Math.max(isGrouped.value ? NAME_OF_GROUP : NAME, Math.round(props.width * NAME_SHARE));
  const shown = table ? known : fitting(known, props.width - name - BESIDE);
  return (
    <section class="runs" aria-label="Run set">
      <header class="runs-head">
        <h1>
          Runs{folder && <span class="print-only"> in {plain(folder)}</span>}
        </h1>
        <span class="muted" role="status">
          {answered ? (isGrouped.value ? ofGroups() : counted(drawn.value.length, total)) : !problems.length && !error && "Loading…"}
        </span>
        <span class="runs-tools">
          <Popover label="Groups" icon={<Layers />} class={isGrouped.value ? "on" : ""}>
            <GroupPicker />
          </Popover>
          <Popover label="Colours" icon={<Palette />} class={view.value.color === null ? "" : "on"}>
            <ColorPicker />
          </Popover>
          <Popover label="Columns" icon={<Columns3 />}>
            <ColumnPicker />
          </Popover>
          <SaveButton reachAll={props.reachAll} />
          <button
            type="button"
            class={`icon ${table ? "shown" : ""}`}
            aria-pressed={table}
            aria-label="Full table"
            title="Full table (t)"
            onClick={() => show({ table: !table }, { push: true })}
          >
            <Table2 />
          </button>
          <button type="button" class="icon" aria-label="Hide the run set" title="Hide the run set (r)" onClick={props.onClose}>
            <PanelLeftClose />
          </button>
        </span>
      </header>
      <FilterField />
      {error && <p class="problem">{error}</p>}
      <Shown />
      <Legend />
      {answered && !total ? (
        <div class="runs-none">
          <p>{filter ? "No experiments match this filter." : "No runs here yet."}</p>
          {filter && (
            <button type="button" onClick={() => show({ filter: "" })}>
              Clear the filter
            </button>
          )}
        </div>
      ) : (
        <RunTable
          columns={shown}
          widths={table ? wide(shown) : shown.map(pixels)}
          nameWidth={table ? widthOf(NAME_KEY, view.value.widths, false, NAME_WIDE) : name}
          isNameFixed={table && (sizing.value?.key ?? (view.value.widths.has(NAME_KEY) ? NAME_KEY : null)) === NAME_KEY}
          active={props.active}
          onActive={props.onActive}
          onRange={props.onRange}
        />
      )}
      {/* below the runs, which it would push down */}
      {pending && <p class="note">Rows of an older version are still being read: some values may be missing.</p>}
      <BulkBar />
      {isGrouped.value && rows.length >= GROUPED_MAX && rows.length < total && (
        <p class="note">
          Groups are of the first {whole(rows.length)} of {several(total, "run")}: a filter can leave others out.
        </p>
      )}
      {rows.length > 0 && drawn.value.length >= DRAWN_MAX && <p class="note">{whole(DRAWN_MAX)} runs are drawn, and no more.</p>}
    </section>
  );
}

/** What the colours mean, where they mean anything. */
function Legend(): JSX.Element | null {
  const by = isGrouped.value ? null : coloring.value;
  if (!by) return null;
  return (
    <div class="color-legend" role="group" aria-label={`Colours by ${by.title}`}>
      <b>{plain(by.title)}</b>
      {by.isScale ? (
        <>
          <span>{by.legend[0]![0]}</span>
          <span class="color-scale" style={{ background: `linear-gradient(90deg, ${by.legend.map(([, color]) => color).join(", ")})` }} />
          <span>{by.legend.at(-1)![0]}</span>
        </>
      ) : (
        by.legend.map(([name, color]) => (
          <span key={name}>
            <span class="swatch" style={{ background: color }} /> {plain(name)}
          </span>
        ))
      )}
      {by.more > 0 && <span class="muted">and {several(by.more, "value")} more, in the same colours</span>}
    </div>
  );
}

/** All in one click, and back. */
function Shown(): JSX.Element | null {
  const total = isGrouped.value ? groups.value.length : listing.value.total;
  const { shown, except } = view.value;
  const isKnown = listing.value.asked !== null;
  // where all of them are among the first ones, these are all
  const isFew = isKnown && total <= FIRST && shown === "first" && !except.size;
  const choices = [
    ...(isFew ? [] : [["first", `First ${FIRST}`] as const]),
    [isFew ? "first" : "all", isKnown ? `All ${whole(total)}` : "All"] as const,
    ["none", "None"] as const,
  ];
  return (
    <div class="segments" role="group" aria-label="Drawn runs">
      {choices.map(([value, name]) => (
        <button
          key={value}
          type="button"
          aria-pressed={shown === value && !except.size}
          onClick={() => show({ shown: value, except: new Set() })}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

function SaveButton(props: { reachAll: () => Promise<void> }): JSX.Element {
  const [isBusy, setBusy] = useState(false);
  // by then it may be another list that is asked for
  const latest = useRef(props.reachAll);
  latest.current = props.reachAll;
  async function save(): Promise<void> {
    setBusy(true);
    try {
      await untilKnown();
      await latest.current();
      saveTable(listing.peek().rows, columns.peek(), view.peek().folder, now.peek());
    } finally {
      setBusy(false);
    }
  }
  return (
    <button type="button" class="icon" disabled={isBusy} aria-label="Save the table as CSV" title="Save the table as CSV" onClick={() => void save()}>
      <Download />
    </button>
  );
}

/** Wait until it is known which columns there are, and the list has them. */
function untilKnown(): Promise<void> {
  return new Promise((known) => {
    const stop = effect(() => {
      if (!areColumnsKnown.value || listing.value.asked !== asked.value) return;
      known();
      // what it returns is not there yet where it is known at once
      queueMicrotask(() => stop());
    });
  });
}

function pixels(column: Column): number {
  return widthOf(column.key, view.value.widths, isGrouped.value, widthAtFirst(column, isGrouped.value, columns.value));
}

/** Widths in the full table: there is room for whole texts, where nobody has made a column as wide as it is. */
function wide(shown: readonly Column[]): number[] {
  const widths = shown.map(pixels);
  const looked = listing.value.rows.slice(0, LOOKED);
  const wished = shown.map((column, at) => {
    if (column.kind !== "param" || isGrouped.value || view.value.widths.has(column.key) || sizing.value?.key === column.key) return widths[at]!;
    const values = looked.map((run) => valueOf(column, run, 0));
    return widthOfTexts(values.map((value) => (typeof value === "number" ? clean(value) : text(value))));
  });
  return widened(widths, wished, innerWidth - BESIDE - NAME_WIDE);
}

/** As many columns as have room. */
function fitting(all: readonly Column[], room: number): Column[] {
  const found: Column[] = [];
  let left = room;
  for (const column of all) {
    left -= pixels(column);
    if (left < 0) break;
    found.push(column);
  }
  return found;
}

function ofGroups(): string {
  const [all, on] = [groups.value.length, groupsDrawn.value.length];
  return all === on ? several(all, "group") : `${whole(on)} of ${whole(all)} drawn`;
}

function counted(drawnNow: number, total: number): string {
  return drawnNow === total ? several(total, "run") : `${whole(drawnNow)} of ${whole(total)} drawn`;
}
