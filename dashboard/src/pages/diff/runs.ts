/** The runs whose differences are shown, with all that is held against one another. */

import { useMemo, useRef, useState } from "preact/hooks";

import { Changes } from "../../api/changes";
import { get } from "../../api/client";
import type { Environment, Environments, ListedExperiment } from "../../api/types";
import { usePoll } from "../../state/poll";
import { findExperiment } from "../experiment/experiment";

const [LIVE, ENDED] = [5000, 10_000];
const COLUMNS = ["params", "metrics"];

export interface DiffRun {
  /** With its parameters, and the summaries of its metrics. */
  record: ListedExperiment;
  /** Of its newest process; empty where nothing was captured. */
  environment: Record<string, unknown>;
}

export interface DiffRuns {
  runs: DiffRun[];
  missing: string[];
  loaded: boolean;
}

/** Return the runs of these prefixes as they are now; one question tells whether any of them has changed. */
export function useDiffRuns(prefixes: readonly string[]): DiffRuns {
  const [state, setState] = useState<DiffRuns>({ runs: [], missing: [], loaded: false });
  const latest = useRef(state);
  latest.current = state;
  const key = prefixes.join("\n");
  const changes = useMemo(() => new Changes(), [key]);
  const isLive = state.runs.some(({ record }) => record.status === "RUNNING" && !record.stale);
  usePoll(
    async (signal) => {
      const changed = await changes.since(signal);
      const ids = new Set(changed?.map((record) => record.id));
      const names = new Set(changed?.map((record) => record.prefix));
      const before = latest.current;
      const stays = (prefix: string): DiffRun | undefined =>
        changed && !names.has(prefix) ? before.runs.find(({ record }) => record.prefix === prefix && !ids.has(record.id)) : undefined;
      if (changed && !before.runs.some(({ record }) => ids.has(record.id)) && !before.missing.some((each) => names.has(each))) return;
      try {
        const found = await Promise.all(prefixes.map(async (prefix) => stays(prefix) ?? (await runOf(prefix, signal))));
        const missing = prefixes.filter((_, at) => found[at] === null);
        setState({ runs: found.filter((run) => run !== null), missing, loaded: true });
      } catch (error) {
        changes.forget();
        throw error;
      }
    },
    isLive ? LIVE : ENDED,
    [changes, isLive],
  );
  return state;
}

async function runOf(prefix: string, signal: AbortSignal): Promise<DiffRun | null> {
  const record = await findExperiment(prefix, signal, COLUMNS);
  if (!record) return null;
  const { data } = await get<Environments>(`experiments/${record.id}/environments`, { limit: 1 }, signal);
  const [newest]: (Environment | undefined)[] = data;
  return { record, environment: newest?.environment ?? {} };
}
