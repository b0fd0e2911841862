/** Columns of the run set, by their names in the language of lists: "status", "params.lr", "max(val/acc)". */

import type { BestOf, FieldSummary, ListedExperiment, MetricField, MetricFields } from "../../api/types";
import { standing } from "../../ui/basic";
import { encode } from "../../api/json";
import { natural } from "../../ui/format";

export type Aggregate = "last" | "min" | "max" | "mean" | "first" | "count" | "best";

export type Column =
  | { key: string; kind: "record"; title: string; name: string }
  | { key: string; kind: "param"; title: string; name: string }
  | { key: string; kind: "metric"; title: string; metric: MetricField; aggregate: Aggregate };

export const RECORD_TITLES: Readonly<Record<string, string>> = {
  status: "Status",
  started: "Started",
  duration: "Duration",
  rows: "Rows",
  tags: "Tags",
  active: "Last activity",
  host: "Host",
  attempts: "Attempts",
  owner: "Owner",
  project: "Project",
  note: "Note",
};
export const AGGREGATES: readonly Aggregate[] = ["last", "best", "min", "max", "mean", "first", "count"];
/** Of the parameters that differ, so many are shown by themselves. */
const [PARAMS_SHOWN, PARAMS_MAX] = [4, 12];
/** Pixels of a parameter's column, and of all others of the full table. */
const [PARAM, OTHERS] = [100, 800];
const PLAIN = /^[\p{L}\p{N}_./-]+$/u;
const CALL = /^(last|first|min|max|mean|count|best)\((.*)\)$/s;

export function recordColumn(name: string): Column {
  return { key: name, kind: "record", title: RECORD_TITLES[name] ?? name, name };
}

export function paramColumn(name: string): Column {
  return { key: quoted(`params.${name}`), kind: "param", title: name, name };
}

export function metricColumn(metric: MetricField, aggregate: Aggregate = "last"): Column {
  const name = metricTitle(metric);
  const whole = aggregate === "last" ? quoted(`metrics.${name}`) : `${aggregate}(${quoted(name)})`;
  const title = aggregate === "last" ? name : `${aggregate} ${name}`;
  return { key: whole, kind: "metric", title, metric, aggregate };
}

export function metricTitle({ name, field }: MetricField): string {
  return name === null ? field : `${name}/${field}`;
}

/** A name as filters and orders take it. */
export function quoted(name: string): string {
  return PLAIN.test(name) ? name : `"${name.replace(/[\\"]/g, "\\$&")}"`;
}

function unquoted(text: string): string {
  return /^".*"$/s.test(text) ? text.slice(1, -1).replace(/\\(.)/gs, "$1") : text;
}

/**
 * Return the column that a name means; null where it means none.
 *
 * @param known The metrics that there are: a field may have slashes, and only they tell where it begins.
 */
export function columnOf(key: string, known: Iterable<MetricFields>): Column | null {
  if (key in RECORD_TITLES) return recordColumn(key);
  const whole = unquoted(key);
  if (whole.startsWith("params.") && whole.length > "params.".length) return paramColumn(whole.slice("params.".length));
  const call = CALL.exec(key);
  if (!call && !whole.startsWith("metrics.")) return null;
  const title = call ? unquoted(call[2]!) : whole.slice("metrics.".length);
  return metricColumn(fieldOf(title, known), (call?.[1] ?? "last") as Aggregate);
}

/** The metric's field of a title. */
function fieldOf(title: string, known: Iterable<MetricFields>): MetricField {
  for (const { name, fields } of known) {
    const start = name === null ? "" : `${name}/`;
    if (title.startsWith(start) && fields.includes(title.slice(start.length))) return { name, field: title.slice(start.length) };
  }
  const slash = title.lastIndexOf("/");
  return slash < 0 ? { name: null, field: title } : { name: title.slice(0, slash), field: title.slice(slash + 1) };
}

/** The name by which lists are asked for a column; null where every record has it. */
export function askedBy(column: Column): string | null {
  if (column.kind === "param") return column.key;
  if (column.kind === "metric") return quoted(`metrics.${metricTitle(column.metric)}`);
  return column.name === "note" ? column.name : null;
}

/** What a run has in a column; undefined where it is not known, or there is nothing. */
export function valueOf(column: Column, run: ListedExperiment, now: number): unknown {
  if (column.kind === "param") return run.params?.[column.name];
  if (column.kind === "metric") return summaryValue(column, run);
  switch (column.name) {
    case "status":
      return standing(run);
    case "started":
      return run.startedAt;
    case "active":
      return run.lastActivity;
    case "duration":
      return seconds(run, now);
    default:
      return run[column.name as keyof ListedExperiment];
  }
}

function summaryValue({ metric, aggregate }: Extract<Column, { kind: "metric" }>, run: ListedExperiment): unknown {
  const summary: FieldSummary | undefined = run.metrics?.[metric.name ?? ""]?.[metric.field];
  if (!summary) return undefined;
  return summary[aggregate === "best" ? bestOf(metric, run.best ?? []) : aggregate];
}

function bestOf(metric: MetricField, best: readonly BestOf[]): "min" | "max" | "last" {
  return best.find((each) => each.metric === metric.name && each.field === metric.field)?.value ?? "last";
}

/** Which value of a field is the best, as any of these runs has defined it. */
export function bestAmong(metric: MetricField, runs: readonly ListedExperiment[]): "min" | "max" | "last" {
  const defining = runs.find(({ best }) => best?.some((each) => each.metric === metric.name && each.field === metric.field));
  return bestOf(metric, defining?.best ?? []);
}

/** At which step the value of a column is; null where that is not known. */
export function stepOf(column: Column, run: ListedExperiment): unknown {
  if (column.kind !== "metric") return null;
  const summary = run.metrics?.[column.metric.name ?? ""]?.[column.metric.field];
  const aggregate = column.aggregate === "best" ? bestOf(column.metric, run.best ?? []) : column.aggregate;
  if (!summary || aggregate === "mean" || aggregate === "count") return null;
  return summary[`${aggregate}Step`];
}

/** How long the run took, or takes so far; null where it never started. */
export function seconds(run: ListedExperiment, now: number): number | null {
  if (!run.startedAt) return null;
  const end = run.endedAt ? Date.parse(run.endedAt) : run.stale ? Date.parse(run.lastActivity ?? "") : now;
  return (end - Date.parse(run.startedAt)) / 1000;
}

/** What people look at first, with the value that is the best of it: of these, the first that there is. */
const RESULTS: readonly [RegExp, Aggregate][] = [
  [/(^|[/_.-])(val|valid|validation|eval|test)[/_.-].*(acc|f1|auc|iou|map|bleu|rouge|reward|return|score|success)/i, "max"],
  [/(^|[/_.-])(val|valid|validation|eval|test)[/_.-].*(loss|err|ppl|perplexity|mse|mae|rmse|nll|fid|wer)/i, "min"],
  [/(acc|f1|auc|iou|reward|return|score|success)[^/]*$/i, "max"],
  [/(loss|err|ppl|perplexity|mse|mae|rmse|nll)[^/]*$/i, "min"],
];

/** The column by which runs are likely compared; null where nothing tells. */
export function objectiveOf(metrics: readonly MetricFields[]): Column | null {
  const fields = metrics.flatMap(({ name, fields }) => fields.map((field) => ({ name, field })));
  for (const [looks, aggregate] of RESULTS) {
    const found = fields.filter((each) => looks.test(metricTitle(each)) && !/^system(\/|$)/.test(each.name ?? ""));
    if (found.length) return metricColumn(found[0]!, aggregate);
  }
  return null;
}

/** Parameters that differ among the runs: what few values have comes before what each run has its own of. */
export function differing(runs: readonly ListedExperiment[]): string[] {
  const values = new Map<string, Map<string, number>>();
  for (const run of runs) {
    for (const [name, value] of Object.entries(run.params ?? {})) {
      const counts = values.get(name) ?? new Map<string, number>();
      const text = encode(value);
      counts.set(text, (counts.get(text) ?? 0) + 1);
      values.set(name, counts);
    }
  }
  const rank = (counts: ReadonlyMap<string, number>): number => (counts.size === runs.length ? 1 : 0);
  return [...values]
    .filter(([, counts]) => counts.size > 1 || (counts.size === 1 && [...counts.values()][0]! < runs.length))
    .sort(([a, first], [b, second]) => rank(first) - rank(second) || natural(a, b))
    .map(([name]) => name);
}

/** The columns that are shown where nobody has chosen any, with so many of the parameters that differ. */
export function chosenByThemselves(runs: readonly ListedExperiment[], metrics: readonly MetricFields[], params = PARAMS_SHOWN): Column[] {
  const objective = objectiveOf(metrics);
  return [
    ...(objective ? [objective] : []),
    ...differing(runs).slice(0, params).map(paramColumn),
    recordColumn("duration"),
    recordColumn("started"),
    ...(runs.some((run) => run.tags.length) ? [recordColumn("tags")] : []),
  ];
}

/** So many parameters have room in a full table that is so many pixels wide. */
export function paramsWithin(width: number): number {
  return Math.max(PARAMS_SHOWN, Math.min(PARAMS_MAX, Math.floor((width - OTHERS) / PARAM)));
}
