/** In what runs differ: rows of names and values, held against one of them. */

import { encode } from "../../api/json";
import type { BestOf, FieldSummary, ListedExperiment } from "../../api/types";
import { natural } from "../../ui/format";
import { AXES } from "../experiment/groups";
import { mapOf } from "../experiment/overview/values";

export interface DiffCell {
  /** Undefined where the run has no such thing. */
  value: unknown;
  /** At which step it was logged; undefined where it is no value of a metric. */
  step?: unknown;
  /** Whether it is another one than the baseline's. */
  differs: boolean;
  /** By how much it is above the baseline's, as a share of that; null where that says nothing. */
  change: number | null;
  /** Whether that is for the better; null where nobody knows. */
  better: boolean | null;
}

export interface DiffRow {
  name: string;
  cells: DiffCell[];
  differs: boolean;
}

type Goal = "max" | "min" | null;
type Valued = { value: unknown; step?: unknown } | undefined;

const LARGER = /acc|auc|reward|score|f1|precision|recall|bleu|rouge|map|iou|psnr|ssim|return|throughput|per_s/i;
const SMALLER = /loss|err|perplex|ppl|mae|mse|rmse|fid|wer|cer|nll|latency|seconds/i;
/** To sort more names than this would keep the page from answering. */
const SORTED_MAX = 20_000;
/** What has sections of its own, or says nothing of what ran. */
const APART: readonly string[] = ["packages", "variables", "traceback", "missing", "gpus"];

/** Put values together by their names, in the order in which people count. */
export function diffRows(runs: readonly Readonly<Record<string, unknown>>[], baseline: number): DiffRow[] {
  const names = new Set(runs.flatMap((values) => Object.keys(values)));
  return sorted([...names]).map((name) =>
    rowOf(name, runs.map((values) => (name in values ? { value: values[name] } : undefined)), baseline, null),
  );
}

function rowOf(name: string, values: readonly Valued[], baseline: number, goal: Goal): DiffRow {
  const base = values[baseline];
  const key = (each: Valued): string => (each === undefined ? "" : encode(each.value) ?? "");
  const cells = values.map((each): DiffCell => {
    const differs = key(each) !== key(base);
    const change = differs ? changeOf(base?.value, each?.value) : null;
    const better = change === null || goal === null || change === 0 ? null : change > 0 === (goal === "max");
    return { value: each?.value, ...(each && "step" in each ? { step: each.step } : {}), differs, change, better };
  });
  return { name, cells, differs: cells.some((each) => each.differs) };
}

/** By how much a number is above another one, as a share of that. */
function changeOf(base: unknown, value: unknown): number | null {
  const [from, to] = [base, value].map((each) => (typeof each === "bigint" ? Number(each) : each));
  if (typeof from !== "number" || typeof to !== "number" || from === 0) return null;
  const change = to / Math.abs(from) - Math.sign(from);
  return Number.isFinite(change) ? change : null;
}

type Measured = Pick<ListedExperiment, "metrics" | "best">;

/** The last value of each field of each metric, and the best one where it is known or plain to see which that is. */
export function resultRows(runs: readonly Measured[], baseline: number): DiffRow[] {
  const fields = new Map<string, readonly [string, string]>();
  for (const { metrics } of runs) {
    for (const [metric, found] of Object.entries(metrics ?? {})) {
      if (metric === "system" || metric.startsWith("system/")) continue;
      const named = Object.keys(found);
      for (const field of named) {
        // where a row is says nothing of how the run went
        if (AXES.includes(field) && named.length > 1) continue;
        // an image or a table is to be looked at: the name of its file is another one in each run
        if (named.includes(`${field.slice(0, field.lastIndexOf("."))}._type`)) continue;
        fields.set(metric ? `${metric}/${field}` : field, [metric, field]);
      }
    }
  }
  return sorted([...fields.keys()]).flatMap((title) => {
    const [metric, field] = fields.get(title)!;
    const goal = goalOf(runs, metric, field);
    const summaries = runs.map((run) => run.metrics?.[metric]?.[field]);
    const last = summaries.map((each) => each && { value: each.last, step: each.lastStep });
    const rows = [rowOf(`${title}, last`, last, baseline, goal)];
    if (goal) rows.unshift(rowOf(`${title}, ${goal}`, summaries.map((each) => bestOf(each, goal)), baseline, goal));
    return rows;
  });
}

function bestOf(summary: FieldSummary | undefined, goal: "max" | "min"): Valued {
  if (!summary || summary[goal] === null) return undefined;
  return { value: summary[goal], step: summary[`${goal}Step`] };
}

/** Which value of a field is the best: as a run has defined it, else as its name says. */
function goalOf(runs: readonly Measured[], metric: string, field: string): Goal {
  const isOf = (each: BestOf): boolean => (each.metric ?? "") === metric && each.field === field;
  const defined = runs.flatMap((run) => run.best ?? []).find(isOf)?.value;
  if (defined) return defined === "last" ? null : defined;
  for (const name of [field, metric]) {
    if (SMALLER.test(name)) return "min";
    if (LARGER.test(name)) return "max";
  }
  return null;
}

/** What is told of a run's surroundings, apart from long texts, as dotted names. */
export function surroundingsOf(environment: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const rest = Object.entries(environment).filter(([name]) => !APART.includes(name));
  const flat = flattened(Object.fromEntries(rest), "");
  for (const name of ["git.diff", "git.diffBytes", "git.untracked", "git.untrackedCount"]) delete flat[name];
  const gpus = Array.isArray(environment.gpus) ? environment.gpus.map((gpu) => mapOf(gpu).name) : [];
  return { ...flat, ...(gpus.length ? { gpus } : {}) };
}

/** What had not been committed of the code that ran. */
export function uncommittedOf(environment: Readonly<Record<string, unknown>>): string {
  const { diff } = mapOf(environment.git);
  return typeof diff === "string" ? diff : "";
}

function flattened(value: Readonly<Record<string, unknown>>, before: string): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => {
      const path = `${before}${name}`;
      const inside = mapOf(item);
      return Object.keys(inside).length ? Object.entries(flattened(inside, `${path}.`)) : [[path, item] as const];
    }),
  );
}

/** In the order in which people count; of very many, which nobody reads from the first to the last, as they were logged. */
function sorted(names: string[]): string[] {
  return names.length > SORTED_MAX ? names : names.sort(natural);
}
