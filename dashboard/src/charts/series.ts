/** What a line of a chart is made of: the server's columns, what comes to them as a run goes on, and what is drawn of them. */

import type { Column, Line as Answer } from "../api/types";

const COLUMNS = ["x", "y", "min", "max", "count", "nan", "posInf", "negInf", "smooth"] as const;
type Name = (typeof COLUMNS)[number];

/** The points of one line, from left to right; numbers that are not there are NaN. */
export interface LineData {
  /** With which to ask for what is new; null where nothing was there. */
  cursor: string | null;
  /** How many rows with a value there are. */
  points: number;
  columns: Readonly<Record<Exclude<Name, "smooth">, readonly number[]>>;
  /** Null where it was not asked for. */
  smooth: readonly number[] | null;
  /** Whether numbers came in single precision, which is all that can be drawn of them. */
  isSingle: boolean;
}

/** A row that is no number, and where. */
export interface Mark {
  x: number;
  kind: "NaN" | "∞" | "−∞";
  count: number;
}

/** What is drawn of a line: one value for each x, null where there is none. */
export interface Drawn {
  /** Each is one that was logged. */
  x: readonly number[];
  /** How many rows are drawn at each. */
  rows: readonly number[];
  raw: (number | null)[];
  smooth: (number | null)[];
  low: (number | null)[];
  high: (number | null)[];
  marks: Mark[];
  /** Whether any point has several rows, so that there is a band to be drawn. */
  banded: boolean;
  /** How many values a logarithmic axis leaves out. */
  left: number;
  isSingle: boolean;
}

/** So many places beside the cursor are looked at for a value. */
const NEAR = 24;

export const NOTHING: LineData = {
  cursor: null,
  points: 0,
  columns: { x: [], y: [], min: [], max: [], count: [], nan: [], posInf: [], negInf: [] },
  smooth: null,
  isSingle: false,
};

/** Take an answer in: of what is known so many points stay, and the answer's come behind them. */
export function taken(known: LineData, answer: Answer): LineData {
  if (answer.unchanged) return known;
  const { first = 0, columns = {}, cursor = null, points = 0 } = answer;
  const y = whole("y", known, first, columns);
  const isNumber = (value: number): number => (Number.isNaN(value) ? 0 : 1);
  const none = y.map(() => 0);
  const given = (name: Name, otherwise: readonly number[]): readonly number[] =>
    columns[name] ? whole(name, known, first, columns) : otherwise;
  return {
    cursor,
    points,
    columns: {
      x: whole("x", known, first, columns),
      y,
      // without these each point is a row, and without the others each row is a number
      min: given("min", y),
      max: given("max", y),
      count: given("count", y.map(isNumber)),
      nan: given("nan", none),
      posInf: given("posInf", none),
      negInf: given("negInf", none),
    },
    smooth: columns.smooth ? whole("smooth", known, first, columns) : null,
    isSingle: columns.y?.type === "float32" || (first > 0 && known.isSingle),
  };
}

function whole(name: Name, known: LineData, first: number, columns: Readonly<Record<string, Column>>): readonly number[] {
  const kept = (name === "smooth" ? (known.smooth ?? []) : known.columns[name]).slice(0, first);
  return [...kept, ...(columns[name] ? numbersOf(columns[name]) : [])];
}

/** The numbers of a column, whose bytes begin anywhere in the answer. */
function numbersOf({ type, data }: Column): Iterable<number> {
  const { buffer } = (data as Uint8Array).slice();
  if (type === "float64") return new Float64Array(buffer);
  return type === "float32" ? new Float32Array(buffer) : new Uint32Array(buffer);
}

/** Return what to draw. */
export function drawn({ columns, smooth, isSingle }: LineData, log: boolean): Drawn {
  let left = 0;
  const usable = (value: number): number | null => (Number.isNaN(value) || (log && value <= 0) ? null : value);
  const raw = columns.y.map((value) => {
    const kept = usable(value);
    if (kept === null && !Number.isNaN(value)) left += 1;
    return kept;
  });
  const marks: Mark[] = [];
  columns.x.forEach((x, at) => {
    for (const [kind, counts] of [
      ["NaN", columns.nan],
      ["∞", columns.posInf],
      ["−∞", columns.negInf],
    ] as const) {
      if (counts[at]) marks.push({ x, kind, count: counts[at] });
    }
  });
  return {
    x: columns.x,
    rows: columns.count.map((count, at) => count + columns.nan[at]! + columns.posInf[at]! + columns.negInf[at]!),
    raw,
    // a mean of what is smoothed is one as well where there is no number of its own
    smooth: smooth === null ? raw : smooth.map((value, at) => (raw[at] === null ? null : usable(value))),
    low: columns.min.map(usable),
    high: columns.max.map(usable),
    marks,
    banded: columns.count.some((count) => count > 1),
    left,
    isSingle,
  };
}

/** Write a number of single precision as what it most likely was: the fewest digits that name it. */
export function ofSingle(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
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
export function joined(lines: readonly Pick<Drawn, "x">[]): { x: number[]; places: number[][] } {
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
