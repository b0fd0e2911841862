/** The ranks of distributed trainings among the drawn runs, and what is drawn of them. */

import { signal } from "@preact/signals";

import { get } from "../../api/client";
import type { ListedExperiment, MetricFields, Ranks } from "../../api/types";

/** All rows as one path; the mean of all ranks with a band from the least to the largest; or one rank alone. */
export type RankChoice = "mean" | number | null;

/** So many runs are asked for their ranks, and of each so many metrics. */
const [RUNS, METRICS] = [6, 2];
/** More than that nobody picks from a list. */
const LISTED = 64;
/** A run that goes on may come to have more ranks: it is asked again so long after, in milliseconds. */
const AGAIN = 60_000;

interface Known {
  ranks: readonly number[];
  rows: number;
  at: number;
}

interface Lacking {
  run: ListedExperiment;
  names: readonly (string | null)[];
}

export const known = signal<ReadonlyMap<string, Known>>(new Map());

export function choiceOf(said: string | null): RankChoice {
  if (said === "mean") return said;
  return said !== null && /^\d{1,6}$/.test(said) ? Number(said) : null;
}

/** What there is to choose: a rank that the address says too, though none of the runs has it. */
export function optionsOf(ranks: readonly number[], choice: RankChoice): (readonly [string, string])[] {
  const all = typeof choice === "number" && !ranks.includes(choice) ? [...ranks, choice] : ranks;
  return [["all", "all rows"], ["mean", "mean and band"], ...all.map((rank) => [String(rank), `rank ${rank}`] as const)];
}

/** The ranks that any of these runs has, in order. */
export function ranksIn(runs: readonly ListedExperiment[]): readonly number[] {
  const found = new Set(runs.flatMap((run) => known.value.get(run.id)?.ranks ?? []));
  return [...found].sort((a, b) => a - b).slice(0, LISTED);
}

/** Whether a run is known to have nothing of what is chosen, since its processes have no ranks. */
export function isWithout(choice: RankChoice, found: Known | undefined): boolean {
  return typeof choice === "number" && found?.ranks.length === 0;
}

/** The runs whose ranks are to be asked for, by the metrics that these have; the machines' load is not measured in all ranks. */
export function lackingOf(
  runs: readonly ListedExperiment[],
  fields: ReadonlyMap<string, { metrics: readonly MetricFields[] }>,
  known: ReadonlyMap<string, Known>,
  now: number,
): Lacking[] {
  return runs.slice(0, RUNS).flatMap((run): Lacking[] => {
    const before = known.get(run.id);
    if (before && (before.ranks.length > 1 || before.rows === run.rows || now - before.at < AGAIN)) return [];
    const names = (fields.get(run.id)?.metrics ?? []).map(({ name }) => name);
    const own = names.filter((name) => !/^system(\/|$)/.test(name ?? ""));
    return own.length ? [{ run, names: own.slice(0, METRICS) }] : [];
  });
}

export async function loadRanks(lacking: readonly Lacking[], signal: AbortSignal): Promise<void> {
  const found = await Promise.all(
    lacking.map(async ({ run, names }): Promise<[string, Known]> => {
      const answers = await Promise.all(
        names.map((name) => get<Ranks>(`experiments/${run.id}/metrics/ranks`, { name, limit: LISTED }, signal)),
      );
      const ranks = new Set(answers.flatMap(({ data }) => data.flatMap(({ rank }) => rank ?? [])));
      return [run.id, { ranks: [...ranks], rows: run.rows, at: Date.now() }];
    }),
  );
  if (found.length) known.value = new Map([...known.peek(), ...found]);
}
