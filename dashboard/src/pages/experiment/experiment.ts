/** Finding an experiment by its prefix, and keeping its record as it is now. */

import { useRef, useState } from "preact/hooks";

import { ApiError, get, pages } from "../../api/client";
import { encode } from "../../api/json";
import type { Attempt, Attempts, Experiment, Experiments, Files, ListedExperiment, Metric, Metrics } from "../../api/types";
import { useLoad, usePoll } from "../../state/poll";
import { LINES_MAX } from "./attempts";
import { FOLDER, mediaSeries } from "./media";

const LIVE = 2000;
const ENDED = 10_000;
/** So many metrics are looked at again in one turn. */
const AGAIN = 200;
/** Files that are looked at to know which fields are media. */
const MEDIA_MAX = 500;

export interface Found {
  record: Experiment | null;
  /** It is not there, or was deleted while it was shown. */
  missing: "never" | "deleted" | null;
  /** Takes a record in that the server has answered to a change. */
  replace: (record: Experiment) => void;
}

/**
 * Return what lists have of the experiment with exactly this prefix; null where there is none.
 *
 * @param columns What is told beside the record: "params", "metrics".
 */
export async function findExperiment(
  prefix: string,
  signal?: AbortSignal,
  columns: readonly string[] = [],
): Promise<ListedExperiment | null> {
  for await (const page of pages<Experiments>("experiments", { prefix, limit: 1000, columns }, signal)) {
    const found = page.data.find((record) => record.prefix === prefix);
    if (found) return found;
  }
  return null;
}

export function useExperiment(prefix: string): Found {
  const [found, setFound] = useState<Omit<Found, "replace">>({ record: null, missing: null });
  // a change must not start the next turn: that would ask again at once
  const latest = useRef(found);
  latest.current = found;
  const isLive = !found.record || (found.record.status === "RUNNING" && !found.record.stale);
  usePoll(
    async (signal) => {
      const known = latest.current;
      try {
        const there = known.record ?? (await findExperiment(prefix, signal));
        if (!there) return setFound({ record: null, missing: "never" });
        const record = await get<Experiment>(`experiments/${there.id}`, {}, signal);
        if (encode(record) !== encode(known.record)) setFound({ record, missing: null });
      } catch (error) {
        const gone = error instanceof ApiError && (error.status === 410 || error.status === 404);
        if (!gone) throw error;
        setFound({ ...known, missing: known.record ? "deleted" : "never" });
      }
    },
    isLive ? LIVE : ENDED,
    [prefix, isLive],
  );
  return { ...found, replace: (record) => setFound({ record, missing: null }) };
}

/** Return the newest attempts of the experiment; none where there is but one. */
export function useAttempts(record: Experiment): Attempt[] | null {
  const [attempts, setAttempts] = useState<Attempt[] | null>(record.attempts < 2 ? [] : null);
  usePoll(
    async (signal) => {
      setAttempts(record.attempts < 2 ? [] : await newestAttempts(record.id, signal));
    },
    60_000,
    [record.id, record.attempts],
  );
  return attempts;
}

/**
 * Return the titles of what are media, as far as files say so, which have no charts: null until that is known.
 *
 * Charts that were made for them would push others about when they turn out to have no numbers.
 */
export function useMediaTitles(record: Experiment): ReadonlySet<string> | null {
  const [titles, setTitles] = useState<ReadonlySet<string> | null>(null);
  useLoad(
    async (signal) => {
      const { data } = await get<Files>(`experiments/${record.id}/files`, { path: FOLDER, limit: MEDIA_MAX }, signal);
      setTitles(new Set(mediaSeries(data).map(({ title }) => title)));
    },
    [record.id],
    { onError: () => setTitles(new Set()) },
  );
  return titles;
}

/** Return as many of the newest attempts as are drawn, the newest first. */
export async function newestAttempts(id: string, signal: AbortSignal): Promise<Attempt[]> {
  return (await get<Attempts>(`experiments/${id}/attempts`, { limit: LINES_MAX }, signal)).data;
}

/** Metrics as far as they are known, null before the first of them are, and how many there are. */
export interface FoundMetrics {
  metrics: Metric[] | null;
  total: number;
}

/**
 * Return the experiment's metrics.
 *
 * As it goes on, new ones are asked for, and of the known ones some in turn: they may have come to have more fields.
 */
export function useMetrics(record: Experiment): FoundMetrics {
  const [found, setFound] = useState<FoundMetrics>({ metrics: null, total: 0 });
  const known = useRef<Metric[]>([]);
  const turn = useRef(0);
  usePoll(
    async (signal) => {
      const ask = (start: number, limit?: number): Promise<Metrics> =>
        get<Metrics>(`experiments/${record.id}/metrics`, { start, limit }, signal);
      const before = known.current;
      const start = turn.current < before.length ? turn.current : 0;
      const again = before.length ? (await ask(start, Math.min(AGAIN, before.length - start))).data : [];
      known.current = [...before.slice(0, start), ...again, ...before.slice(start + again.length)];
      turn.current = start + again.length;
      let shown = 0;
      for (let total = Number.POSITIVE_INFINITY; known.current.length < total; ) {
        const page = await ask(known.current.length);
        // a new list each time: whoever has the one before must not see it grow
        known.current = [...known.current, ...page.data];
        total = page.data.length ? page.total : 0;
        // of very many those that are there are shown, the first ones at once; each time all are sorted
        if (known.current.length < total && known.current.length >= 2 * shown) {
          shown = known.current.length;
          setFound({ metrics: known.current, total });
        }
      }
      setFound({ metrics: known.current, total: known.current.length });
    },
    60_000,
    [record.id, record.entries],
  );
  return found;
}
