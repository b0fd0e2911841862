/** The lines of a chart as they are asked for: whole, or only what is new. */

import type { AskedLine, AskedPanel } from "../api/types";
import { askPanel } from "./batch";
import { type LineData, NOTHING, taken } from "./series";

export interface Line {
  /** Tells lines of a chart apart. */
  key: string;
  label: string;
  experimentId: string;
  /** The metric's name; null is the unnamed one. */
  name: string | null;
  field: string;
  color: string;
  /** The number of an attempt; without it, of each step the newest one's. */
  attempt?: number;
  /** Only of this rank of a distributed training; without it, of all. */
  rank?: number;
}

/** What a chart shows of its lines. */
export interface Window {
  /** "index", "time", "relative", or a field of the metric. */
  x: string;
  range: readonly [number, number] | null;
  /** In pixels. */
  width: number;
  /** 0 (none) to below 1. */
  smoothing: number;
}

/** The lines of a chart, and what they were asked for by. */
export interface Lines {
  keys: string;
  window: Window;
  data: ReadonlyMap<string, LineData>;
  /** Why lines could not be had. */
  problems: readonly string[];
}

/** A line has half as many points as it is asked for at least, since their distance is a power of two. */
const POINTS_OF_PIXEL = 1.5;
/** A metric or a field that is not there may come yet. */
const NOT_THERE = "not_found";

/**
 * Return the lines of a chart.
 *
 * @param known The same lines as they were in the same window; only what is new is sent then.
 */
export async function loadLines(
  lines: readonly Line[],
  keys: string,
  window: Window,
  known: Lines | null,
  signal: AbortSignal,
): Promise<Lines> {
  const answers = await askPanel(panelOf(lines, window, known?.data), signal);
  const problems: string[] = [];
  const data = new Map<string, LineData>();
  lines.forEach((line, at) => {
    const answer = answers[at]!;
    const before = known?.data.get(line.key) ?? NOTHING;
    if (answer.error && answer.error.code !== NOT_THERE) problems.push(`${line.label}: ${answer.error.message}`);
    // what was there is still to be seen where it cannot be read any more
    data.set(line.key, answer.error ? before : taken(before, answer));
  });
  if (known && known.problems.join("\n") === problems.join("\n") && [...data].every(([key, line]) => known.data.get(key) === line)) {
    return known;
  }
  return { keys, window, data, problems };
}

function panelOf(lines: readonly Line[], { x, range, width, smoothing }: Window, known: Lines["data"] | undefined): AskedPanel {
  return {
    x,
    start: range?.[0] ?? null,
    stop: range?.[1] ?? null,
    width: Math.ceil(width * POINTS_OF_PIXEL),
    smooth: smoothing > 0 ? { kind: "ema", amount: smoothing } : null,
    lines: lines.map((line) => askedOf(line, known?.get(line.key)?.cursor ?? null)),
  };
}

function askedOf({ experimentId, name, field, attempt, rank }: Line, after: string | null): AskedLine {
  return { experiment: experimentId, metric: name, field, attempt: attempt === undefined ? null : String(attempt), rank: rank ?? null, after };
}

/** Return the time, in seconds since the epoch, from which a line's relative time counts; null where it has no rows. */
export async function beginningOf(line: Line, signal: AbortSignal): Promise<number | null> {
  // one point of each is that of one and the same row
  const window = { range: null, width: 1, smoothing: 0 };
  const [time, since] = await Promise.all(
    ["time", "relative"].map((x) => loadLines([line], line.key, { ...window, x }, null, signal)),
  );
  const [at, seconds] = [time, since].map((found) => found!.data.get(line.key)!.columns.x[0]);
  return at === undefined || seconds === undefined ? null : at - seconds;
}
