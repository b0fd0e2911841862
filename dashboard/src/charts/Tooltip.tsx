/** What the lines of a chart say at the cursor. */

import type { JSX } from "preact";
import type uPlot from "uplot";

import { number, rounded, several } from "../ui/format";
import { plain } from "../ui/terminal";
import type { Line } from "./load";
import { type Drawn, ofSingle, placeAt } from "./series";

export interface Told {
  /** Where what is nearest to the cursor was logged. */
  x: number;
  /** How many rows are drawn there. */
  rows: number;
  left: number;
  width: number;
  /** So many digits tell values apart that are apart in the chart. */
  digits: number;
  values: {
    label: string;
    color: string;
    value: number | null;
    /** Null where nothing is smoothed. */
    smooth: number | null;
    low: number | null;
    high: number | null;
    marks: string;
  }[];
}

interface Shown {
  shown: readonly Line[];
  drawn: readonly Drawn[];
  hidden: ReadonlySet<string>;
  smooths: boolean;
  unit: number;
}

const [DIGITS, DIGITS_MAX] = [10, 17];
/** Pixels from the cursor within which a line may begin or end. */
const REACH = 6;

/** Return what to show for the cursor's place; null where the cursor is elsewhere. */
export function tell(plot: uPlot, { shown, drawn, hidden, smooths, unit }: Shown): Told | null {
  const { idx, left } = plot.cursor;
  const place = idx == null ? undefined : plot.data[0][idx];
  if (idx == null || place === undefined || left === undefined || left < 0) return null;
  const x = place / unit;
  const reach = Math.abs(plot.posToVal(REACH, "x") - plot.posToVal(0, "x")) / unit;
  // what is told of x is where rows were logged: between them there is nothing, and an x of no line's is not told
  let nearest: { x: number; rows: number } | null = null;
  const values = shown.flatMap((line, at) => {
    if (hidden.has(line.key)) return [];
    const here = drawn[at]!;
    const near = placeAt(here, x, reach);
    const marked = here.marks.filter((mark) => mark.x === x);
    const marks = marked.map((mark) => `${mark.count} × ${mark.kind}`);
    if (near === null && !marks.length) return [];
    const value = (column: readonly (number | null)[]): number | null => {
      const found = near === null ? null : (column[near] ?? null);
      return found !== null && here.isSingle ? ofSingle(found) : found;
    };
    const place = marked.length ? here.x.indexOf(x) : near!;
    if (!nearest || Math.abs(here.x[place]! - x) < Math.abs(nearest.x - x)) nearest = { x: here.x[place]!, rows: here.rows[place]! };
    return {
      label: line.label,
      color: line.color,
      value: value(here.raw),
      smooth: smooths ? value(here.smooth) : null,
      low: value(here.low),
      high: value(here.high),
      marks: marks.join(", "),
    };
  });
  if (!values.length || !nearest) return null;
  return { ...(nearest as { x: number; rows: number }), left, width: plot.over.clientWidth, digits: digitsOf(plot.scales.y), values };
}

function digitsOf({ min, max }: uPlot.Scale = {}): number {
  if (min == null || max == null) return DIGITS;
  const alike = Math.log10(Math.max(Math.abs(min), Math.abs(max)) / (max - min));
  return Math.min(DIGITS_MAX, Math.max(DIGITS, Math.ceil(alike) + 4));
}

export function Tooltip(props: { told: Told; x: (value: number) => string }): JSX.Element {
  const { told } = props;
  const written = (value: number): string => (told.digits < DIGITS_MAX ? rounded(value, told.digits) : number(value));
  const right = told.left > told.width / 2;
  const place = right ? { right: `${told.width - told.left + 20}px` } : { left: `${told.left + 80}px` };
  return (
    <div class="tooltip" style={place} aria-hidden="true">
      <div class="tooltip-x">
        {props.x(told.x)}
        {told.rows > 1 && ` · ${several(told.rows, "row")}`}
      </div>
      {told.values.map((each) => (
        <div key={each.label} class="tooltip-row">
          <span class="swatch" style={{ background: each.color }} />
          <span class="tooltip-label">{plain(each.label)}</span>
          <b>{each.value === null ? "–" : written(each.smooth ?? each.value)}</b>
          {each.smooth !== null && each.value !== null && <span class="muted">({written(each.value)})</span>}
          {each.low !== null && each.high !== null && each.low !== each.high && (
            <span class="muted">
              {written(each.low)} … {written(each.high)}
            </span>
          )}
          {each.marks && <span class="muted">{each.marks}</span>}
        </div>
      ))}
    </div>
  );
}
