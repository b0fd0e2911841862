/** What goes for all charts of a page; it is all in the address. */

import type { ComponentChildren, JSX } from "preact";

import { query, setQuery } from "../../state/url";
import { SearchField, Select, Toggle } from "../../ui/basic";

export interface ChartView {
  x: string;
  smoothing: number;
  log: boolean;
  /** What is shown of each axis that was zoomed: those of charts without the chosen x are others. */
  ranges: ReadonlyMap<string, readonly [number, number]>;
  search: string;
}

export function chartView(defaultX: string): ChartView {
  const given = query.value;
  const smoothing = Number(given.get("smooth") ?? 0);
  const x = given.get("x") ?? defaultX;
  const ranges = new Map<string, readonly [number, number]>();
  for (const name of given.keys()) {
    if (name !== "from" && !name.startsWith("from.")) continue;
    const axis = name.slice("from.".length);
    const [low, high] = [Number(given.get(name)), Number(given.get(axis ? `to.${axis}` : "to") ?? Number.NaN)];
    if (low < high) ranges.set(axis || x, [low, high]);
  }
  return {
    x,
    smoothing: smoothing >= 0 && smoothing < 1 ? smoothing : 0,
    log: given.get("log") === "1",
    ranges,
    search: given.get("m") ?? "",
  };
}

/** Show a range of an axis, or all of it; `chosen` is the x that was chosen for all charts. */
export function setRange(range: readonly [number, number] | null, axis: string, chosen: string): void {
  const [from, to] = range ? shortened(range) : [null, null];
  // closer than two doubles can be there is nothing to show; an empty range would mean all
  if (range && !(Number(from) < Number(to))) return;
  setQuery(axis === chosen ? { from, to } : { [`from.${axis}`]: from, [`to.${axis}`]: to });
}

function showAll(view: ChartView): void {
  for (const axis of view.ranges.keys()) setRange(null, axis, view.x);
}

/** Write a range in the address: six digits more than its ends have in common are more than there are pixels. */
export function shortened([low, high]: readonly [number, number]): [string, string] {
  const alike = Math.log10(Math.max(Math.abs(low), Math.abs(high)) / (high - low));
  const digits = Math.min(17, Math.max(0, Math.ceil(alike)) + 6);
  return [low, high].map((value) => String(Number(value.toPrecision(digits)))) as [string, string];
}

export function ChartControls(props: {
  view: ChartView;
  axes: readonly (readonly [string, string])[];
  searchLabel: string;
  /** What goes for the charts of this page alone. */
  children?: ComponentChildren;
}): JSX.Element {
  const { view } = props;
  return (
    <div class="controls chart-controls">
      <SearchField
        main
        label={props.searchLabel}
        placeholder="Find metrics"
        value={view.search}
        onInput={(value) => setQuery({ m: value })}
      />
      <Select
        label="x"
        value={view.x}
        options={props.axes}
        onChange={(x) => setQuery({ x, from: null, to: null })}
      />
      <label class="field">
        <span>Smoothing</span>
        <input
          type="range"
          min="0"
          max="0.99"
          step="0.01"
          value={view.smoothing}
          onInput={(event) => setQuery({ smooth: event.currentTarget.value === "0" ? null : event.currentTarget.value })}
        />
        <output>{view.smoothing.toFixed(2)}</output>
      </label>
      {props.children}
      <Toggle label="log y" value={view.log} onChange={(on) => setQuery({ log: on ? "1" : null })} />
      {view.ranges.size > 0 && (
        <button type="button" onClick={() => showAll(view)}>
          Show all
        </button>
      )}
    </div>
  );
}
