/** Finding an experiment by its prefix, and keeping its record as it is now. */

import { useRef, useState } from "preact/hooks";

import { ApiError, get } from "../../api/client";
import { encode } from "../../api/json";
import type { Experiment, Experiments, Metric, Metrics } from "../../api/types";
import { usePoll } from "../../state/poll";

const LIVE = 2000;
const ENDED = 10_000;
/** So many metrics are looked at again in one turn. */
const AGAIN = 200;

export interface Found {
  record: Experiment | null;
  /** It is not there, or was deleted while it was shown. */
  missing: "never" | "deleted" | null;
}

/** Return the experiment with exactly this prefix; null where there is none. */
export async function findExperiment(prefix: string, signal?: AbortSignal): Promise<Experiment | null> {
  let cursor: string | null = null;
  do {
    const page: Experiments = await get<Experiments>("experiments", { prefix, limit: 1000, cursor }, signal);
    const found = page.data.find((record) => record.prefix === prefix);
    if (found) return found;
    cursor = page.hasMore ? page.cursor : null;
  } while (cursor);
  return null;
}

export function useExperiment(prefix: string): Found {
  const [found, setFound] = useState<Found>({ record: null, missing: null });
  // a change must not start the next turn: that would ask again at once
  const latest = useRef(found);
  latest.current = found;
  const isLive = !found.record || (found.record.status === "RUNNING" && !found.record.stale);
  usePoll(
    async (signal) => {
      const known = latest.current;
      try {
        const record = known.record
          ? await get<Experiment>(`experiments/${known.record.id}`, {}, signal)
          : await findExperiment(prefix, signal);
        if (!record) return setFound({ record: null, missing: "never" });
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
  return found;
}

/**
 * Return the experiment's metrics.
 *
 * As it goes on, new ones are asked for, and of the known ones some in turn: they may have come to have more fields.
 */
export function useMetrics(record: Experiment): Metric[] | null {
  const [metrics, setMetrics] = useState<Metric[] | null>(null);
  const known = useRef<Metric[]>([]);
  const turn = useRef(0);
  usePoll(
    async (signal) => {
      const ask = async (start: number, limit?: number): Promise<Metric[]> =>
        (await get<Metrics>(`experiments/${record.id}/metrics`, { start, limit }, signal)).data;
      const before = known.current;
      const start = turn.current < before.length ? turn.current : 0;
      const again = before.length ? await ask(start, Math.min(AGAIN, before.length - start)) : [];
      const more = await ask(before.length);
      turn.current = start + AGAIN;
      known.current = [...before.slice(0, start), ...again, ...before.slice(start + again.length), ...more];
      setMetrics(known.current);
    },
    60_000,
    [record.id, record.rows],
  );
  return metrics;
}
