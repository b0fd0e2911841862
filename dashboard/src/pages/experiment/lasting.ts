/** How long a run took, or takes, in words that hold for each way in which it may stand. */

import type { ListedExperiment } from "../../api/types";

export interface Lasting {
  /** What the seconds are. */
  label: string;
  /** Null where nobody knows. */
  seconds: number | null;
}

type Standing = Pick<ListedExperiment, "startedAt" | "endedAt" | "stale" | "lastActivity">;

/** Return how long it took; null for what was never started. A clock that goes wrong makes no time negative. */
export function lasting({ startedAt, endedAt, stale, lastActivity }: Standing, now: number): Lasting | null {
  if (!startedAt) return null;
  const since = (end: number): number => Math.max(0, (end - Date.parse(startedAt)) / 1000);
  if (endedAt) return { label: "Took", seconds: since(Date.parse(endedAt)) };
  const latest = lastActivity ? Date.parse(lastActivity) : null;
  if (stale) return { label: "Last heard of after", seconds: latest === null ? null : since(latest) };
  // the page's clock goes by steps, and the machine's may be behind: what was heard of has happened
  return { label: "Running for", seconds: since(Math.max(now, latest ?? 0)) };
}
