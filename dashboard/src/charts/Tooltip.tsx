/** What the lines of a chart say at the cursor. */

import type { JSX } from "preact";
import type uPlot from "uplot";

import { number, rounded } from "../ui/format";
import { plain } from "../ui/terminal";
import type { Line } from "./load";
import { PER_LINE, unitOfY } from "./plot";
import type { Drawn } from "./series";

export interface Told {
  x: number;
  left: number;
  width: number;
  /** So many digits tell values apart that are apart in the chart. */
  digits: number;
  values: { label: string; color: string; value: number | null; low: number | null; high: number | null; marks: string }[];
}

interface Shown {
  shown: readonly Line[];
  drawn: readonly Drawn[];
  hidden: ReadonlySet<string>;
  log: boolean;
  unit: number;
}

const [DIGITS, DIGITS_MAX] = [10, 17];

/** Return what to show for the cursor's place; null where the cursor is elsewhere. */
export function tell(plot: uPlot, { shown, drawn, hidden, log, unit }: Shown): Told | null {
  const { idx, left } = plot.cursor;
  const place = idx == null ? undefined : plot.data[0][idx];
  if (idx == null || place === undefined || left === undefined || left < 0) return null;
  const x = place / unit;
  const values = shown.flatMap((line, at) => {
    if (hidden.has(line.key)) return [];
    const near = nearest(plot, at * PER_LINE + 3, idx);
    const marks = drawn[at]!.marks.filter((mark) => mark.x === x).map((mark) => `${mark.count} × ${mark.kind}`);
    if (near === null && !marks.length) return [];
    const value = (series: number): number | null => {
      const found = near === null ? null : plot.data[series]?.[near];
      return found == null ? null : found / unitOfY(log);
    };
    return {
      label: line.label,
      color: line.color,
      value: value(at * PER_LINE + 3),
      low: value(at * PER_LINE + 1),
      high: value(at * PER_LINE + 2),
      marks: marks.join(", "),
    };
  });
  return values.length ? { x, left, width: plot.over.clientWidth, digits: digitsOf(plot.scales.y), values } : null;
}

function digitsOf({ min, max }: uPlot.Scale = {}): number {
  if (min == null || max == null) return DIGITS;
  const alike = Math.log10(Math.max(Math.abs(min), Math.abs(max)) / (max - min));
  return Math.min(DIGITS_MAX, Math.max(DIGITS, Math.ceil(alike) + 4));
}

/** Return the place of the line's value at the cursor, or the one closest to it among a few. */
function nearest(plot: uPlot, series: number, idx: number): number | null {
  const values = plot.data[series];
  if (!values) return null;
  for (let step = 0; step < 24; step++) {
    for (const at of [idx - step, idx + step]) if (values[at] != null) return at;
  }
  return null;
}

export function Tooltip(props: { told: Told; x: (value: number) => string }): JSX.Element {
  const { told } = props;
  const written = (value: number): string => (told.digits < DIGITS_MAX ? rounded(value, told.digits) : number(value));
  const right = told.left > told.width / 2;
  const place = right ? { right: `${told.width - told.left + 20}px` } : { left: `${told.left + 80}px` };
  return (
    <div class="tooltip" style={place} aria-hidden="true">
      <div class="tooltip-x">{props.x(told.x)}</div>
      {told.values.map((each) => (
        <div key={each.label} class="tooltip-row">
          <span class="swatch" style={{ background: each.color }} />
          <span class="tooltip-label">{plain(each.label)}</span>
          <b>{each.value === null ? "–" : written(each.value)}</b>
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
