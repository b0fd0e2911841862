/** Asking for lines: a few at a time, whole or only what is new. */

import { getDoubles } from "../api/client";
import type { Series } from "../api/types";
import { appended, askFrom, type LineData, ofAnswer } from "./series";

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
}

/** What a chart shows of its lines. */
export interface Window {
  x: string;
  /** Whether the range counts from where each line begins. */
  relative: boolean;
  range: readonly [number, number] | null;
  width: number;
}

/** The lines of a chart, and what they were asked for by. */
export interface Lines {
  keys: string;
  window: Window;
  data: ReadonlyMap<string, LineData>;
}

const AT_ONCE = 6;
const waiting: (() => void)[] = [];
let running = 0;

/**
 * Return what a chart shows of a line.
 *
 * @param origin Where the whole line begins; null where that is not known, and is asked for if it is needed.
 */
export async function loadLine(
  line: Line,
  window: Window,
  origin: number | null,
  signal: AbortSignal,
): Promise<LineData> {
  if (!window.range) return ofAnswer(await ask(line, window, null, null, signal));
  const begin = origin ?? (await begins(line, window, signal));
  const shift = window.relative ? (begin ?? 0) : 0;
  const [start, stop] = window.range;
  return { ...ofAnswer(await ask(line, window, start + shift, stop + shift, signal)), origin: begin };
}

/** Return the first x of a line; null where it has none, or where it is not needed. */
async function begins(line: Line, window: Window, signal: AbortSignal): Promise<number | null> {
  return window.relative ? ofAnswer(await ask(line, window, null, null, signal)).origin : null;
}

/**
 * Return a line with what is new behind it; the same one where nothing is.
 *
 * The whole is asked for again only where the parts have come to have more points than the chart has pixels.
 */
export async function goOn(line: Line, known: LineData, window: Window, signal: AbortSignal): Promise<LineData> {
  const from = askFrom(known, window.x);
  if (from === null || window.range || known.buckets.x.length > 2 * window.width) {
    return loadLine(line, window, known.origin, signal);
  }
  const answer = await ask(line, window, from, null, signal);
  return answer.rows === known.rows ? known : appended(known, from, answer);
}

async function ask(
  line: Line,
  window: Window,
  start: number | null,
  stop: number | null,
  signal: AbortSignal,
): Promise<Series> {
  await turn();
  try {
    signal.throwIfAborted();
    return await getDoubles<Series>(
      `experiments/${line.experimentId}/metrics/series`,
      { name: line.name, field: line.field, x: window.x, start, stop, width: window.width, attempt: line.attempt },
      signal,
    );
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

/** Wait until fewer than a few requests are under way. */
async function turn(): Promise<void> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running += 1;
}
