/** What a line of a chart is made of: the server's buckets, more of them as a run goes on, and what is drawn of them. */

import type { Buckets, Series } from "../api/types";

export const COLUMNS = [
  "x",
  "xMin",
  "xMax",
  "count",
  "min",
  "max",
  "mean",
  "first",
  "last",
  "nan",
  "posInf",
  "negInf",
] as const satisfies readonly (keyof Buckets)[];

/** Buckets of one line, and of how many rows they are. */
export interface LineData {
  rows: number;
  points: number;
  resolution: Series["resolution"];
  exact: boolean;
  /** The x at which the whole line begins; null where that is not known. */
  origin: number | null;
  buckets: Buckets;
}

/** A row that is no number, and where. */
export interface Mark {
  x: number;
  kind: "NaN" | "∞" | "−∞";
  count: number;
}

/** What is drawn of a line: one value for each x, null where there is none. */
export interface Drawn {
  x: number[];
  /** The first and the last x of the rows that are drawn at each. */
  from: number[];
  to: number[];
  raw: (number | null)[];
  smooth: (number | null)[];
  low: (number | null)[];
  high: (number | null)[];
  marks: Mark[];
  /** Whether any bucket has several points, so that there is a band to be drawn. */
  banded: boolean;
  /** How many values a logarithmic axis leaves out. */
  left: number;
}

/** So many places beside the cursor are looked at for a value. */
const NEAR = 24;

export function emptyBuckets(): Buckets {
  return Object.fromEntries(COLUMNS.map((name) => [name, []])) as unknown as Buckets;
}

/** Return a line as the server answered for the whole of it. */
export function ofAnswer(answer: Series): LineData {
  const { rows, points, resolution, exact, buckets } = answer;
  return { rows, points, resolution, exact, origin: buckets.xMin[0] ?? null, buckets };
}

/** From which x on to ask for what is new: behind the last index, or at the last x, which more rows may share. */
export function askFrom(line: LineData, x: string): number | null {
  const last = line.buckets.xMax.at(-1);
  if (last === undefined) return null;
  return x === "index" ? last + 1 : last;
}

/** Put what was asked for from `from` on behind what is known. */
export function appended(line: LineData, from: number, answer: Series): LineData {
  const kept = line.buckets.xMax.findIndex((each) => each >= from);
  const end = kept === -1 ? line.buckets.xMax.length : kept;
  const buckets = emptyBuckets();
  for (const name of COLUMNS) {
    (buckets[name] as unknown[]).push(...line.buckets[name].slice(0, end), ...answer.buckets[name]);
  }
  return { ...line, rows: answer.rows, points: line.points + answer.points, buckets };
}

/**
 * Smooth by an exponential moving average, corrected for its start (as in Adam, Kingma and Ba 2015, section 3).
 *
 * @param weight 0 (none) to below 1: how much of the average so far stays at each point.
 */
export function smoothed(values: readonly (number | null)[], weight: number): (number | null)[] {
  let average = 0;
  let correction = 1;
  return values.map((value) => {
    if (value === null) return null;
    average = average * weight + (1 - weight) * value;
    correction *= weight;
    return average / (1 - correction);
  });
}

/** Return what to draw; with `relative`, x counts from the line's first. */
export function drawn(
  data: LineData,
  options: { smoothing: number; log: boolean; relative: boolean },
): Drawn {
  const { buckets } = data;
  const origin = options.relative ? (data.origin ?? 0) : 0;
  let left = 0;
  const usable = (value: number | null): number | null => (value !== null && options.log && value <= 0 ? null : value);
  const raw = buckets.mean.map((value) => {
    const kept = usable(value);
    if (value !== null && kept === null) left += 1;
    return kept;
  });
  const marks: Mark[] = [];
  const banded = buckets.count.some((count) => count > 1);
  buckets.x.forEach((x, at) => {
    for (const [kind, count] of [
      ["NaN", buckets.nan[at]!],
      ["∞", buckets.posInf[at]!],
      ["−∞", buckets.negInf[at]!],
    ] as const) {
      if (count) marks.push({ x: x - origin, kind, count });
    }
  });
  const shifted = (places: number[]): number[] => (origin ? places.map((x) => x - origin) : places);
  return {
    x: shifted(buckets.x),
    from: shifted(buckets.xMin),
    to: shifted(buckets.xMax),
    raw,
    smooth: options.smoothing > 0 ? smoothed(raw, options.smoothing) : raw,
    low: buckets.min.map(usable),
    high: buckets.max.map(usable),
    marks,
    banded,
    left,
  };
}

/**
 * Return the place of the value that a line has at an x, or closest to it; null where it has none there.
 *
 * A line has a value from its first x to its last, and a little beyond: as far as its points are apart, or `reach`.
 */
export function placeAt({ x, raw }: Pick<Drawn, "x" | "raw">, at: number, reach: number): number | null {
  if (!x.length) return null;
  const [first, last] = [x[0]!, x.at(-1)!];
  const beyond = Math.max(reach, x.length > 1 ? (last - first) / (x.length - 1) : 0);
  if (at < first - beyond || at > last + beyond) return null;
  let [low, high] = [0, x.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! < at) low = middle + 1;
    else high = middle;
  }
  let best: number | null = null;
  for (let step = 0; step < NEAR; step++) {
    for (const place of [low - step, low + step]) {
      if (raw[place] == null) continue;
      if (best === null || Math.abs(x[place]! - at) < Math.abs(x[best]! - at)) best = place;
    }
    if (best !== null && step > 0) return best;
  }
  return best;
}

/** Return the x of all lines, each once and ascending, and for each line where its values are among them. */
export function joined(lines: readonly Drawn[]): { x: number[]; places: number[][] } {
  const x = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  const at = new Map(x.map((value, index) => [value, index]));
  return { x, places: lines.map((line) => line.x.map((value) => at.get(value)!)) };
}

/** Spread a line's values over all x; `undefined` where the line has no point, which is no gap. */
export function spread<T>(values: readonly T[], places: readonly number[], length: number): (T | undefined)[] {
  const all = new Array<T | undefined>(length).fill(undefined);
  places.forEach((place, index) => {
    all[place] = values[index];
  });
  return all;
}

/** Write what is shown as comma-separated values (RFC 4180): x, and of each line its mean, lowest and highest. */
export function csv(xName: string, names: readonly string[], lines: readonly Drawn[]): string {
  const { x, places } = joined(lines);
  const columns = lines.flatMap((line, index) =>
    (["raw", "low", "high"] as const).map((name) => spread(line[name], places[index]!, x.length)),
  );
  const heads = names.flatMap((name) => [name, `${name} (min)`, `${name} (max)`]);
  const rows = x.map((value, row) => [value, ...columns.map((column) => column[row] ?? "")].join(","));
  return [[xName, ...heads].map(quoted).join(","), ...rows, ""].join("\r\n");
}

/** A name that a spreadsheet would take for a formula is made a text. */
function quoted(name: string): string {
  const safe = /^[=+\-@\t\r]/.test(name) ? `'${name}` : name;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
