/** Finding an experiment by its prefix, and keeping its record as it is now. */

import { useRef, useState } from "preact/hooks";

import { ApiError, get } from "../../api/client";
import type { ExperimentRecord, Listing, MetricInfo } from "../../api/types";
import { usePoll } from "../../state/poll";

const LIVE = 2000;
const ENDED = 10_000;

export interface Found {
  record: ExperimentRecord | null;
  /** It is not there, or was deleted while it was shown. */
  missing: "never" | "deleted" | null;
}

/** Return the experiment with exactly this prefix; null where there is none. */
export async function findExperiment(prefix: string, signal?: AbortSignal): Promise<ExperimentRecord | null> {
  let cursor: string | null = null;
  do {
    const page: Listing = await get<Listing>("experiments", { prefix, limit: 1000, cursor }, signal);
    const found = page.data.find((record) => record.prefix === prefix);
    if (found) return found;
    cursor = page.hasMore ? page.cursor : null;
  } while (cursor);
  return null;
}

export function useExperiment(prefix: string): Found {
  const [found, setFound] = useState<Found>({ record: null, missing: null });
  const isLive = !found.record || (found.record.status === "RUNNING" && !found.record.stale);
  usePoll(
    async (signal) => {
      try {
        const record = found.record
          ? await get<ExperimentRecord>(`experiments/${found.record.id}`, {}, signal)
          : await findExperiment(prefix, signal);
        if (!record) return setFound({ record: null, missing: "never" });
        if (JSON.stringify(record) !== JSON.stringify(found.record)) setFound({ record, missing: null });
      } catch (error) {
        const gone = error instanceof ApiError && (error.status === 410 || error.status === 404);
        if (!gone) throw error;
        setFound({ ...found, missing: found.record ? "deleted" : "never" });
      }
    },
    isLive ? LIVE : ENDED,
    [prefix, found],
  );
  return found;
}

/** Return the experiment's metrics; as it goes on, only new ones are asked for. */
export function useMetrics(record: ExperimentRecord): MetricInfo[] | null {
  const [metrics, setMetrics] = useState<MetricInfo[] | null>(null);
  const known = useRef<MetricInfo[]>([]);
  usePoll(
    async (signal) => {
      const start = known.current.length;
      const { data } = await get<{ data: MetricInfo[] }>(`experiments/${record.id}/metrics`, { start }, signal);
      known.current = [...known.current, ...data];
      setMetrics(known.current);
    },
    60_000,
    [record.id, record.rows],
  );
  return metrics;
}
