/** The runs that are compared, with their parameters and metrics. */

import { useRef, useState } from "preact/hooks";

import { encode } from "../../api/json";
import type { Attempt, ListedExperiment, MetricField } from "../../api/types";
import { usePoll } from "../../state/poll";
import { findExperiment, newestAttempts } from "../experiment/experiment";
import { askValues } from "../experiments/store";

const AGAIN = 5000;

export interface Run {
  record: ListedExperiment;
  params: Record<string, unknown>;
  metrics: { name: string | null; fields: string[] }[];
  /** Last values, in the order of what was asked for. */
  results: unknown[];
  /** The newest attempts, the newest first; none where there is but one. */
  attempts: Attempt[];
}

export interface Runs {
  runs: Run[];
  /** Prefixes under which there is nothing. */
  missing: string[];
  loaded: boolean;
}

/** Return the runs of these prefixes, as they are now, with the last values of these metrics. */
export function useRuns(prefixes: readonly string[], results: readonly MetricField[]): Runs {
  const [state, setState] = useState<Runs>({ runs: [], missing: [], loaded: false });
  const known = useRef(new Map<string, Attempt[]>());
  usePoll(
    async (signal) => {
      const found = await Promise.all(prefixes.map((prefix) => findExperiment(prefix, signal)));
      const records = found.filter((record): record is ListedExperiment => record !== null);
      const data = await askValues(records.map((record) => record.id), results, signal);
      const byId = new Map(data.map((each) => [each.id, each]));
      const attempts = await Promise.all(records.map((record) => attemptsOf(record, known.current, signal)));
      const runs = records.flatMap((record, at) => {
        const found = byId.get(record.id);
        if (!found) return [];
        return [{ record, params: found.params, metrics: found.metrics, results: found.values, attempts: attempts[at]! }];
      });
      const missing = prefixes.filter((_, at) => found[at] === null);
      const next = { runs, missing, loaded: true };
      setState((before) => (encode(before) === encode(next) ? before : next));
    },
    AGAIN,
    [prefixes.join("\n"), JSON.stringify(results)],
  );
  return state;
}

/** Return a run's attempts, which are asked for again only when there are more. */
async function attemptsOf(
  record: ListedExperiment,
  known: Map<string, Attempt[]>,
  signal: AbortSignal,
): Promise<Attempt[]> {
  if (record.attempts < 2) return [];
  const key = `${record.id} ${record.attempts}`;
  const found = known.get(key) ?? (await newestAttempts(record.id, signal));
  known.set(key, found);
  return found;
}

/** Return every field of every metric of any run, each once. */
export function fieldsOf(runs: readonly Run[]): (MetricField & { fields: string[] })[] {
  const found = new Map<string, MetricField & { fields: string[] }>();
  for (const run of runs) {
    for (const { name, fields } of run.metrics) {
      for (const field of fields) found.set(JSON.stringify([name, field]), { name, field, fields });
    }
  }
  return [...found.values()];
}

/** Names under which the runs can be told apart: the shortest ends of their prefixes that differ. */
export function shortNames(prefixes: readonly string[]): string[] {
  const parts = prefixes.map((prefix) => prefix.split("/"));
  const longest = Math.max(0, ...parts.map((each) => each.length));
  for (let length = 1; length <= longest; length++) {
    const names = parts.map((each) => each.slice(-length).join("/"));
    if (new Set(names).size === names.length) return names;
  }
  return [...prefixes];
}

export interface ParamRow {
  name: string;
  values: unknown[];
  differs: boolean;
}

/** Return the parameters of all runs, by name; a run that lacks one has undefined. */
export function paramRows(runs: readonly Run[]): ParamRow[] {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.params)))].sort((a, b) =>
    a.localeCompare(b, "en", { numeric: true }),
  );
  return names.map((name) => {
    const values = runs.map((run) => run.params[name]);
    return { name, values, differs: new Set(values.map((value) => (value === undefined ? null : encode(value)))).size > 1 };
  });
}
