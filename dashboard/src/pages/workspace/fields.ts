/** Which metrics the drawn runs have, with their fields. */

import { signal } from "@preact/signals";

import { post } from "../../api/client";
import type { ExperimentValues, ListedExperiment, MetricFields, Values } from "../../api/types";

const BATCH = 100;
/** A run that goes on may come to have more metrics: it is asked again so long after, in milliseconds. */
const AGAIN = 10_000;

interface Known {
  rows: number;
  at: number;
  metrics: readonly MetricFields[];
  /** How many it has: of very many not all are told. */
  total: number;
}

export const fields = signal<ReadonlyMap<string, Known>>(new Map());

/** Ask for the metrics of those runs of which they are not known as they are now; of what was asked a moment ago after a pause. */
export async function loadFields(runs: readonly ListedExperiment[], signal: AbortSignal): Promise<void> {
  for (;;) {
    const now = Date.now();
    const stale = runs.filter((run) => fields.peek().get(run.id)?.rows !== run.rows);
    const lacking = stale.filter((run) => dueIn(run, now) <= 0);
    for (let start = 0; start < lacking.length; start += BATCH) {
      const batch = lacking.slice(start, start + BATCH);
      const found = new Map((await ask(batch.map((run) => run.id), signal)).map((each) => [each.id, each]));
      const next = new Map(fields.peek());
      for (const run of batch) {
        const { metrics, metricsTotal } = found.get(run.id) ?? { metrics: [], metricsTotal: 0 };
        next.set(run.id, { rows: run.rows, at: now, metrics, total: metricsTotal });
      }
      fields.value = next;
    }
    if (lacking.length === stale.length) return;
    // these may have logged what they had not before, and then nothing more
    await pause(Math.min(...stale.filter((run) => !lacking.includes(run)).map((run) => dueIn(run, now))), signal);
  }
}

/** Milliseconds until a run with new rows is asked again; one of which nothing was known then, as it was still to be read, at once. */
function dueIn(run: ListedExperiment, now: number): number {
  const known = fields.peek().get(run.id);
  return known?.metrics.length ? known.at + AGAIN - now : 0;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason as Error)), { once: true });
  });
}

/** In as many answers as they need: of those that cannot be read there is none. */
async function ask(ids: readonly string[], signal: AbortSignal): Promise<ExperimentValues[]> {
  const found: ExperimentValues[] = [];
  let rest = ids;
  while (rest.length) {
    const answer: Values = await post<Values>("experiments/values", { ids: rest, metrics: [] }, signal);
    found.push(...answer.data);
    // each answer has at least one, so that there are ever fewer
    rest = answer.rest.length < rest.length ? answer.rest : [];
  }
  return found;
}

/** The metrics of all of these runs, each once with all fields that it has in any. */
export function together(runs: readonly ListedExperiment[], known: ReadonlyMap<string, Known>): MetricFields[] {
  const found = new Map<string | null, Set<string>>();
  for (const run of runs) {
    for (const { name, fields } of known.get(run.id)?.metrics ?? []) {
      const all = found.get(name) ?? new Set<string>();
      for (const field of fields) all.add(field);
      found.set(name, all);
    }
  }
  return [...found].map(([name, all]) => ({ name, fields: [...all] }));
}

/** The first of these runs of whose metrics not all have charts, with how many have; null where all have. */
export function unlistedIn<T extends Pick<ListedExperiment, "id">>(runs: readonly T[], known: ReadonlyMap<string, Known>): { run: T; listed: number; total: number } | null {
  for (const run of runs) {
    const { metrics, total } = known.get(run.id) ?? { metrics: [], total: 0 };
    if (metrics.length < total) return { run, listed: metrics.length, total };
  }
  return null;
}
