/** Where attempts lie on one line of time. */

import type { Attempt } from "../../../api/types";

export interface Span {
  /** Shares of the whole time, 0 to 1. */
  left: number;
  width: number;
  seconds: number;
}

/**
 * Return where each attempt lies between the first start and the last end.
 *
 * One that goes on lies up to now. One that ended without a word lies at most up to the next one's start: when it
 * stopped nobody knows.
 *
 * @param attempts The newest first.
 * @param now Milliseconds since the epoch.
 */
export function timeline(attempts: readonly Pick<Attempt, "startedAt" | "endedAt" | "stale">[], now: number): Span[] {
  const starts = attempts.map((each) => Date.parse(each.startedAt));
  const ends = attempts.map((each, at) => {
    if (each.endedAt) return Math.max(starts[at]!, Date.parse(each.endedAt));
    return Math.max(starts[at]!, each.stale || at > 0 ? (starts[at - 1] ?? starts[at]!) : now);
  });
  const [first, last] = [Math.min(...starts), Math.max(...ends)];
  const whole = last - first || 1;
  return starts.map((start, at) => ({
    left: (start - first) / whole,
    width: (ends[at]! - start) / whole,
    seconds: (ends[at]! - start) / 1000,
  }));
}
