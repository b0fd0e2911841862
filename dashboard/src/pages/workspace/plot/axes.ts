/** Which part of the plane a chart shows, where that is on its canvas, and the ticks beside it. */

import { eachPrefixed, fitting, logTicks, padded, paddedLog, prefixed, type Tick, widened } from "../../../charts/ticks";
import type { Bounds } from "../panel/settings";
import type { Range } from "../view";
import type { Box } from "./pen";
import { dayTicks, sinceTicks } from "./time";
import type { Trace } from "./trace";

export interface Asked {
  width: number;
  height: number;
  /** "relative" and "time" are counted in seconds. */
  x: string;
  logX: boolean;
  logY: boolean;
  /** An end that is null is where the traces end. */
  xRange: Bounds | null;
  yRange: Bounds | null;
  /** Whether y goes over what most points have. */
  cut?: boolean;
  /** What x is called, behind its ticks. */
  title?: string;
}

export interface Axes {
  box: Box;
  x: Range;
  y: Range;
  logX: boolean;
  logY: boolean;
  xTicks: readonly Tick[];
  yTicks: readonly Tick[];
  /** Pixels from the left up to which there is room for the ticks' texts. */
  xEnd: number;
}

/** Pixels of a character of a tick, and beside the plot. */
const [CHARACTER, TOP, RIGHT, BOTTOM] = [6, 6, 10, 20];
const [X_SPACE, Y_SPACE] = [40, 20];
const LEFT_LEAST = 30;
/** Pixels between the last tick and the title behind it; without a title, those beyond the plot in which it may end. */
const [TITLE_GAP, BEYOND] = [6, 8];
/** The share of points at either end that are outliers. */
const OUTLIERS = 0.05;

/** Return the axes for these traces; null where none of them has anything in sight. */
export function axesFor(traces: readonly Trace[], asked: Asked): Axes | null {
  const x = rangeOfX(traces, asked);
  const y = x && rangeOfY(traces, x, asked);
  if (!x || !y) return null;
  const height = asked.height - TOP - BOTTOM;
  const most = Math.max(2, Math.floor(height / Y_SPACE));
  const yTicks = asked.logY ? eachPrefixed(logTicks(y[0], y[1], most)) : fitting(y[0], y[1], most, Infinity, prefixed);
  const longest = Math.max(0, ...yTicks.map((tick) => tick.text.length));
  const left = Math.max(LEFT_LEAST, longest * CHARACTER + 10);
  const box = { left, top: TOP, width: Math.max(10, asked.width - left - RIGHT), height };
  const xEnd = box.left + box.width + (asked.title ? -asked.title.length * CHARACTER - TITLE_GAP : BEYOND);
  return { box, x, y, logX: asked.logX, logY: asked.logY, xTicks: ticksOfX(x, box.width, asked), yTicks, xEnd };
}

function rangeOfX(traces: readonly Trace[], { xRange, logX }: Asked): Range | null {
  const [low, high] = given(xRange, logX);
  if (low !== null && high !== null) return [low, high];
  const extent = extentOfX(traces, logX);
  return extent && ordered(low ?? extent[0], high ?? extent[1], low !== null);
}

function rangeOfY(traces: readonly Trace[], x: Range, { yRange, logY, cut }: Asked): Range | null {
  const [low, high] = given(yRange, logY);
  if (low !== null && high !== null) return [low, high];
  const values = (cut ? mostOfY(traces, x, logY) : null) ?? extentOfY(traces, x, logY);
  if (!values) return null;
  const around = logY ? paddedLog(values[0], values[1]) : padded(values[0], values[1]);
  return ordered(low ?? around[0], high ?? around[1], low !== null);
}

/** The ends that are given; on a logarithmic axis none can be 0 or less. */
function given(range: Bounds | null, log: boolean): Bounds {
  const [low, high] = range ?? [null, null];
  const isPossible = (end: number | null): boolean => end === null || !log || end > 0;
  return [isPossible(low) ? low : null, isPossible(high) ? high : null];
}

/** A range of which one end is given, and may lie beyond all that there is. */
function ordered(low: number, high: number, isLowGiven: boolean): Range {
  if (low < high) return [low, high];
  const by = Math.max(1, Math.abs(isLowGiven ? low : high) / 2);
  return isLowGiven ? [low, low + by] : [high > 0 && high - by <= 0 ? high / 2 : high - by, high];
}

function ticksOfX([low, high]: Range, pixels: number, { x, logX }: Asked): readonly Tick[] {
  const most = Math.max(1, Math.floor(pixels / X_SPACE));
  if (logX) return eachPrefixed(logTicks(low, high, most));
  const times = x === "time" ? dayTicks(low, high, most) : x === "relative" ? sinceTicks(low, high, most) : [];
  if (times.length) return times;
  // half an index is none
  const count = x === "index" ? Math.max(1, Math.min(most, Math.floor(high - low))) : most;
  return fitting(low, high, count, pixels / CHARACTER, prefixed);
}

function extentOfX(traces: readonly Trace[], log: boolean): Range | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { points } of traces) {
    const { x } = points;
    if (!x.length) continue;
    // on a logarithmic axis there is nothing at 0
    const first = log ? x.find((each) => each > 0) : x[0];
    if (first !== undefined && first < low) low = first;
    if (x[x.length - 1]! > high) high = x[x.length - 1]!;
  }
  if (!(low <= high) || (log && low <= 0)) return null;
  return low === high ? widened(low - 0.5, high + 0.5) : [low, high];
}

function extentOfY(traces: readonly Trace[], [from, to]: Range, log: boolean): Range | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { raw, band } of traces) {
    const step = band ? 3 : 2;
    const places = band ?? raw;
    for (let at = 0; at < places.length; at += step) {
      if (places[at]! < from || places[at]! > to) continue;
      for (let part = 1; part < step; part++) {
        const value = places[at + part]!;
        if (Number.isNaN(value) || (log && value <= 0)) continue;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
  }
  return low <= high ? [low, high] : null;
}

/** What all but the outliers of the traces' points go over; null where there are none. */
function mostOfY(traces: readonly Trace[], [from, to]: Range, log: boolean): Range | null {
  const found: number[] = [];
  for (const { points } of traces) {
    const values = points.smooth ?? points.y;
    for (let at = 0; at < values.length; at++) {
      const [x, value] = [points.x[at]!, values[at]!];
      if (x >= from && x <= to && !Number.isNaN(value) && !(log && value <= 0)) found.push(value);
    }
  }
  if (!found.length) return null;
  const sorted = Float64Array.from(found).sort();
  const off = Math.floor(sorted.length * OUTLIERS);
  return [sorted[off]!, sorted[sorted.length - 1 - off]!];
}

/** Where an x is, in pixels. */
export function pixelOfX({ box, x, logX }: Axes, value: number): number {
  return box.left + shareOf(value, x, logX) * box.width;
}

/** Where a y is, in pixels from above. */
export function pixelOfY({ box, y, logY }: Axes, value: number): number {
  return box.top + (1 - shareOf(value, y, logY)) * box.height;
}

export function xOfPixel({ box, x, logX }: Axes, pixel: number): number {
  return valueAt((pixel - box.left) / box.width, x, logX);
}

export function yOfPixel({ box, y, logY }: Axes, pixel: number): number {
  return valueAt(1 - (pixel - box.top) / box.height, y, logY);
}

function shareOf(value: number, [low, high]: Range, log: boolean): number {
  if (log) return value > 0 ? Math.log(value / low) / Math.log(high / low) : Number.NaN;
  // halves: the difference of the largest doubles is infinite
  return (value / 2 - low / 2) / (high / 2 - low / 2);
}

function valueAt(share: number, [low, high]: Range, log: boolean): number {
  return log ? low * (high / low) ** share : low * (1 - share) + high * share;
}

/** A path of the data's own units in pixels; on a logarithmic axis what is not above 0 is a gap. */
export function inPixels(axes: Axes, path: Float64Array): Float64Array {
  const placed = new Float64Array(path.length);
  for (let at = 0; at < path.length; at += 2) {
    const x = pixelOfX(axes, path[at]!);
    placed[at] = x;
    placed[at + 1] = Number.isNaN(x) ? Number.NaN : pixelOfY(axes, path[at + 1]!);
  }
  return placed;
}
