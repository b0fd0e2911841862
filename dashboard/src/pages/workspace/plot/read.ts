/** What a chart says at the mouse. */

import { localTime, number, several } from "../../../ui/format";
import { type Axes, pixelOfX, pixelOfY, xOfPixel } from "./axes";
import { endsAt, lastOf, type Mark, placeAt, type Trace } from "./trace";

export interface Reading {
  key: string;
  label: string;
  color: string;
  /** The x of the point that is read, which was logged. */
  x: number;
  value: number;
  /** Null where nothing is smoothed. */
  smoothed: number | null;
  /** The ends of a band, or the lowest and the highest of the point's rows. */
  low: number;
  high: number;
  /** Of a band: how many runs there are here. */
  runs: number | null;
  /** Of how many rows the value is the mean. */
  rows: number;
  marks: string;
  /** Pixels between the line and the mouse. */
  distance: number;
}

/** Pixels within which a line counts as under the mouse, and how far beyond its ends it is read. */
const [NEAR, REACH] = [18, 8];
/** Pixels that one sees. */
const SEEN = 1.5;
const DIGITS = 5;

/** What each trace has at an x, the nearest to a height first; without a height, the highest first. */
export function readings(traces: readonly Trace[], axes: Axes, x: number, pixelY: number | null): Reading[] {
  const left = pixelOfX(axes, x);
  const reach = Math.abs(xOfPixel(axes, left + REACH) - x);
  const found = traces.flatMap((trace): Reading[] => {
    const place = placeOf(trace, x, reach);
    if (place === null) return [];
    const { points, spread, isOfRows, key, label, color } = trace;
    const value = points.y[place]!;
    const smoothed = points.smooth?.[place] ?? null;
    const [low, high] = endsAt(points, place, spread ?? "minmax");
    const at = points.x[place]!;
    const marks = trace.marks.filter((mark) => mark.x === at).map(({ kind, count }) => `${count} × ${kind}`);
    const height = heightAt(trace, place, x);
    const distance = pixelY === null ? 0 : Number.isNaN(height) ? Number.MAX_VALUE : Math.abs(pixelOfY(axes, height) - pixelY);
    const isBand = spread !== null && !isOfRows;
    const count = points.count?.[place];
    const [runs, rows] = isBand ? [count ?? null, 1] : [null, count ?? 1];
    return [{ key, label, color, x: at, value, smoothed, low, high, runs, rows, marks: marks.join(", "), distance }];
  });
  const height = ({ smoothed, value }: Reading): number => smoothed ?? value;
  return found.sort((a, b) => a.distance - b.distance || height(b) - height(a));
}

/** The place of the point that is read at an x: one with a number, or what is no number where that is what is there. */
function placeOf(trace: Trace, x: number, reach: number): number | null {
  const place = placeAt(trace, x, reach);
  const far = (mark: Mark): number => Math.abs(mark.x - x);
  const mark = trace.marks.reduce<Mark | null>((best, each) => (best === null || far(each) < far(best) ? each : best), null);
  if (!mark || far(mark) > reach) return place;
  return place === null || far(mark) < Math.abs(trace.points.x[place]! - x) ? trace.points.x.indexOf(mark.x) : place;
}

/** How high a line is at an x between two of its points. */
function heightAt({ points }: Trace, place: number, x: number): number {
  const values = points.smooth ?? points.y;
  const here = values[place]!;
  const other = x > points.x[place]! ? place + 1 : place - 1;
  const next = values[other];
  const span = (points.x[other] ?? 0) - points.x[place]!;
  // what is no number stands at the edge
  if (Number.isNaN(here)) return here;
  return next === undefined || Number.isNaN(next) || !span ? here : here + ((next - here) * (x - points.x[place]!)) / span;
}

/** Whether a value is of another x than the one that is told above it, as far as one can see. */
export function isAside(axes: Axes, reading: Pick<Reading, "x">, x: number): boolean {
  return Math.abs(pixelOfX(axes, reading.x) - pixelOfX(axes, x)) > SEEN;
}

/** The line under the mouse; null where none is near. */
export function nearest(found: readonly Reading[]): Reading | null {
  const first = found[0];
  return first && first.distance <= NEAR ? first : null;
}

/** A value in as many digits as tell it apart from its neighbours in the chart. */
export function told(value: number, [low, high]: readonly [number, number]): string {
  if (!Number.isFinite(value)) return number(value);
  const alike = Math.ceil(Math.log10(Math.max(Math.abs(low), Math.abs(high)) / (high - low)));
  const digits = Math.min(17, Math.max(DIGITS, Number.isFinite(alike) ? alike + 4 : DIGITS));
  return short(value, digits);
}

/** A number in at most so many significant digits, with an exponent where it would be long without. */
export function short(value: number, digits: number): string {
  const rounded = Number(value.toPrecision(digits));
  const size = Math.abs(rounded);
  if (Number.isFinite(rounded) && rounded !== 0 && (size < 1e-4 || size >= 1e9)) return rounded.toExponential().replace("e+", "e");
  return number(rounded);
}

/** The same with as many digits as its neighbours in a column have, so that their points stand below one another. */
export function even(value: number, digits: number): string {
  const text = short(value, digits);
  return Number.isInteger(value) || !Number.isFinite(value) || /e/.test(text) ? text : Number(text).toPrecision(Math.max(digits, text.replace(/\D/g, "").replace(/^0+/, "").length));
}

/** What a line ends with, in words; where that is a mean of several rows, it says so. */
export function lastTold({ points: { y, count }, spread }: Pick<Trace, "points" | "spread">): string {
  const at = lastOf(y);
  if (at === null) return "none";
  const rows = spread === null ? (count?.[at] ?? 1) : 1;
  return `${short(y[at]!, 6)}${rows > 1 ? `, the mean of ${several(rows, "row")}` : ""}`;
}

/** An x as it is read: exact, with its unit. */
export function xTold(x: number, axis: string): string {
  if (axis === "time") return localTime(new Date(x * 1000).toISOString());
  if (axis !== "relative") return `${axis} ${number(x)}`;
  if (Math.abs(x) < 120) return `${short(x, 4)} s`;
  return Math.abs(x) < 7200 ? `${short(x / 60, 4)} min` : `${short(x / 3600, 4)} h`;
}
