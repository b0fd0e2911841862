/** Asking for lines: a few at a time, whole or only what is new. */

import { get } from "../api/client";
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
}

/** What a chart shows of its lines. */
export interface Window {
  x: string;
  range: readonly [number, number] | null;
  width: number;
}

const AT_ONCE = 6;
const waiting: (() => void)[] = [];
let running = 0;

export async function loadLine(line: Line, window: Window, signal: AbortSignal): Promise<LineData> {
  const [start, stop] = window.range ?? [null, null];
  return ofAnswer(await ask(line, window, start, stop, signal));
}

/**
 * Return a line with what is new behind it; the same one where nothing is.
 *
 * The whole is asked for again only where the parts have come to have more points than the chart has pixels.
 */
export async function goOn(line: Line, known: LineData, window: Window, signal: AbortSignal): Promise<LineData> {
  const from = askFrom(known, window.x);
  if (from === null || window.range || known.buckets.x.length > 2 * window.width) {
    return loadLine(line, window, signal);
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
    return await get<Series>(
      `experiments/${line.experimentId}/metrics/series`,
      { name: line.name, field: line.field, x: window.x, start, stop, width: window.width },
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
