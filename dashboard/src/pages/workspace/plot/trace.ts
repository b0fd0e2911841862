/** What is drawn of a line: the path that its rows make, a smooth one, a band, and what is no number. */

import type { Numbers, Points } from "../points";

export interface Mark {
  x: number;
  kind: "NaN" | "∞" | "−∞";
  count: number;
}

/** What surrounds the mean of several runs. */
export type Spread = "minmax" | "std" | "stderr";

export interface Trace {
  /** The run's id, or what stands for it: what is hovered together. */
  key: string;
  label: string;
  color: string;
  dash?: readonly number[];
  /** A member of a group, whose band is drawn too. */
  isThin?: boolean;
  /** Places in the data's own units: x and y in turn, NaN for a gap. */
  raw: Float64Array;
  /** Null where nothing is smoothed. */
  smooth: Float64Array | null;
  /** x, lowest and highest in turn; null where there is no band. */
  band: Float64Array | null;
  /** For reading off. */
  points: Points;
  /** Of a band: what its lowest and highest are. */
  spread: Spread | null;
  isOfRows?: boolean;
  marks: readonly Mark[];
}

export interface TraceOf {
  key: string;
  label: string;
  color: string;
  dash?: readonly number[];
  isThin?: boolean;
  /** Of several runs together, or the ranks of one; null for the path of all rows. */
  spread: Spread | null;
  /** Whether the band is of one run's rows. */
  isOfRows?: boolean;
}

export function traceOf(points: Points, of: TraceOf): Trace {
  return {
    ...of,
    raw: of.spread ? pairs(points.x, points.y) : rowsPath(points),
    smooth: points.smooth ? pairs(points.x, points.smooth) : null,
    band: of.spread ? bandOf(points, of.spread) : null,
    points,
    marks: marksOf(points),
  };
}

function pairs(x: Numbers, y: Numbers): Float64Array {
  const path = new Float64Array(2 * x.length);
  for (let at = 0; at < x.length; at++) {
    path[2 * at] = x[at]!;
    path[2 * at + 1] = y[at]!;
  }
  return path;
}

/** The path of all rows: through the lowest and the highest of each point that stands for several, so that no spike is lost. */
function rowsPath({ x, y, min, max }: Points): Float64Array {
  if (!min || !max) return pairs(x, y);
  const path: number[] = [];
  let before = Number.NaN;
  for (let at = 0; at < x.length; at++) {
    const [low, high] = [min[at]!, max[at]!];
    if (!(low < high)) path.push(x[at]!, y[at]!);
    else if (Math.abs(before - high) < Math.abs(before - low)) path.push(x[at]!, high, x[at]!, low);
    else path.push(x[at]!, low, x[at]!, high);
    before = path.at(-1)!;
  }
  return Float64Array.from(path);
}

function bandOf(points: Points, spread: Spread): Float64Array {
  const { x } = points;
  const band = new Float64Array(3 * x.length);
  for (let at = 0; at < x.length; at++) {
    const [low, high] = endsAt(points, at, spread);
    band[3 * at] = x[at]!;
    band[3 * at + 1] = low;
    band[3 * at + 2] = high;
  }
  return band;
}

/** The ends of a band at a point. Of one run there is no deviation: the band is as narrow as its line. */
export function endsAt({ y, min, max, std, count }: Points, at: number, spread: Spread): [number, number] {
  const mean = y[at]!;
  if (spread === "minmax") return [min?.[at] ?? mean, max?.[at] ?? mean];
  const deviation = std?.[at] ?? Number.NaN;
  const by = Number.isNaN(deviation) ? 0 : spread === "std" ? deviation : deviation / Math.sqrt(count?.[at] ?? 1);
  return [mean - by, mean + by];
}

function marksOf({ x, nan, posInf, negInf }: Points): Mark[] {
  const marks: Mark[] = [];
  for (const [kind, counts] of [["NaN", nan], ["∞", posInf], ["−∞", negInf]] as const) {
    counts?.forEach((count, at) => count && marks.push({ x: x[at]!, kind, count }));
  }
  return marks;
}

/**
 * Return the place of a point closest to an x; null where there is none.
 *
 * A line has values from its first row to its last, and as far beyond as the mouse reaches: not where it had ended long before.
 */
export function placeAt({ points: { x, y } }: Pick<Trace, "points">, at: number, reach: number): number | null {
  if (!x.length || at < x[0]! - reach || at > x[x.length - 1]! + reach) return null;
  let [low, high] = [0, x.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! < at) low = middle + 1;
    else high = middle;
  }
  const [before, behind] = [placeOf(y, low - 1, -1), placeOf(y, low, 1)];
  if (before === null || behind === null) return before ?? behind;
  return at - x[before]! <= x[behind]! - at ? before : behind;
}

/** The next place in a direction that has a number. */
function placeOf(values: Numbers, start: number, step: number): number | null {
  for (let at = start; at >= 0 && at < values.length; at += step) if (!Number.isNaN(values[at])) return at;
  return null;
}

/** The place of the last number of a line; null where it has none. */
export function lastOf(values: Numbers): number | null {
  return placeOf(values, values.length - 1, -1);
}
