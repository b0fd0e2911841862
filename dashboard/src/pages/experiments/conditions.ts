/** What the comparisons of a filter mean: of which column, and whether its values can be compared so at all. */

import type { ListedExperiment, MetricField } from "../../api/types";
import { type Column, metricColumn, metricTitle, paramColumn, RECORD_COLUMNS, valueOf } from "./columns";
import { type Comparison, holds, numberOf, type Problem } from "./filter";
import type { Known } from "./store";

/** What experiments have: the names of their parameters, and fields of metrics by what they are called. */
export interface Names {
  params: ReadonlySet<string>;
  fields: ReadonlyMap<string, MetricField>;
}

export interface Condition {
  comparison: Comparison;
  /** Null where the name means several, and what it may mean is in the problem; or where the server is asked. */
  column: Column | null;
  /** What the server is asked, of what these pages do not know: notes, and other values of metrics than the last. */
  asks: string | null;
  /** Whether any experiment has something of this name. */
  known: boolean;
  problem: string | null;
}

/** Columns that no table shows. */
const HIDDEN: readonly Column[] = ["name", "prefix", "folder", "ended", "created", "attempts", "error"].map((key) => ({
  key,
  kind: "record",
  title: key,
}));
const ASKED = /^(?:notes?|readmes?)$/i;
const STANDINGS = ["running", "stale", "completed", "failed", "cancelled", "unknown"];
const TIMES = ["started", "ended", "active", "created"];
const DATE = /^\d{4}(-\d\d(-\d\d([t ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?z?)?)?)?$/i;
const UNITS: Record<string, number> = { ms: 0.001, s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400, w: 604_800 };
const LISTED = 4;
const METRICS = /^(?:metrics?|summary)[./]/i;
const ANYTHING = /^\*+$/;

export function namesOf(known: ReadonlyMap<string, Pick<Known, "params" | "metrics">>): Names {
  const params = new Set<string>();
  const fields = new Map<string, MetricField>();
  for (const each of known.values()) {
    for (const name of Object.keys(each.params)) params.add(name);
    for (const metric of each.metrics) {
      for (const field of metric.fields) {
        const title = metricTitle({ name: metric.name, field });
        if (!fields.has(title)) fields.set(title, { name: metric.name, field });
      }
    }
  }
  return { params, fields };
}

/**
 * Return what a comparison means; a name that nothing has (yet) means what it looks like.
 *
 * @param text What was typed, of which the comparison is a part.
 */
export function conditionOf(comparison: Comparison, names: Names, text = ""): Condition {
  const { aggregate, name, operator, start, stop } = comparison;
  if ((aggregate && aggregate !== "last") || (ASKED.test(name) && !names.params.has(name))) {
    const isText = !aggregate && operator !== "=" && operator !== "!=";
    const problem = isText ? `‘${name}’ is compared by = or !=` : null;
    return { comparison, column: null, asks: problem ? null : text.slice(start, stop), known: true, problem };
  }
  const found = aggregate ? metrics(comparison.name.replace(METRICS, ""), names) : columnsOf(comparison.name, names);
  if (found.length > 1) {
    const titles = found.slice(0, LISTED).map((column) => column.title);
    const problem = `‘${comparison.name}’ may be ${titles.join(", ")}${found.length > LISTED ? " and more" : ""}: write one of them`;
    return { comparison, column: null, asks: null, known: true, problem };
  }
  const column = found[0] ?? guessed(comparison.name);
  const read = readable(comparison, column);
  return { comparison: read, column, asks: null, known: found.length > 0, problem: mistake(read, column) };
}

/**
 * Return what is wrong with a condition, and where; null for nothing.
 *
 * @param all Whether all values have been read: before that, a name that nothing has may yet come.
 */
export function problemOf(
  condition: Condition,
  records: Iterable<ListedExperiment>,
  known: ReadonlyMap<string, Known>,
  all: boolean,
): Problem | null {
  const { comparison, column } = condition;
  const { name, value, start, stop } = comparison;
  let message = condition.problem;
  if (message === null && all && !condition.known) message = `no experiment has a parameter or a metric’s field called ‘${name}’`;
  if (message === null && all && column && numberOf(value) === null && !comparison.isPattern && !asksForNaN(comparison)) {
    const values = [...records].map((each) => valueOf(column, each, known.get(each.id), 0)).filter((each) => each != null);
    if (isNumeric(values)) message = `‘${name}’ is a number everywhere, and ‘${value}’ is not one`;
  }
  return message === null ? null : { start, stop, message };
}

/** Whether an experiment is as a condition asks. */
export function meets({ comparison, column }: Condition, record: ListedExperiment, known: Known | undefined, now: number): boolean {
  if (!column) return true;
  const value = valueOf(column, record, known, now);
  // of a time, so much as is asked for: a day is all of it
  return holds(isTime(column) && value != null ? String(value).slice(0, comparison.value.length) : value, comparison);
}

function asksForNaN({ value, operator }: Comparison): boolean {
  return value.toLowerCase() === "nan" && (operator === "=" || operator === "!=");
}

function isNumeric(values: readonly unknown[]): boolean {
  return values.length > 0 && values.every((value) => typeof value === "number" || typeof value === "bigint");
}

function isTime(column: Column): boolean {
  return column.kind === "record" && TIMES.includes(column.key);
}

/** Return the columns that a name may mean: one of exactly this name, else those that it is short for. */
function columnsOf(name: string, names: Names): Column[] {
  const whole = exact(name, names);
  if (whole) return [whole];
  if (METRICS.test(name)) return metrics(name.replace(METRICS, ""), names);
  const prefixed = /^(params?|config)[./](.+)$/i.exec(name);
  const params = alike([...names.params], prefixed?.[2] ?? name).map(paramColumn);
  return params.length || prefixed ? params : metrics(name, names);
}

function exact(name: string, { params, fields }: Names): Column | null {
  if (params.has(name)) return paramColumn(name);
  const lower = name.toLowerCase();
  const record = [...RECORD_COLUMNS, ...HIDDEN].find(({ key }) => key === lower || key === `${lower}s`);
  if (record) return record;
  const field = fields.get(name);
  return field ? metricColumn(field) : null;
}

/** Fields of this title, be it with dots for slashes; else of any metric with such a field. */
function metrics(name: string, { fields }: Names): Column[] {
  const field = fields.get(name);
  if (field) return [metricColumn(field)];
  const titles = [...fields.keys()];
  const found = alike(titles, name);
  const short = found.length ? found : titles.filter((title) => dotted(fields.get(title)!.field) === dotted(name));
  return short.map((title) => metricColumn(fields.get(title)!));
}

function alike(known: readonly string[], name: string): string[] {
  const same = known.filter((each) => each === name);
  return same.length ? same : known.filter((each) => dotted(each) === dotted(name));
}

function dotted(name: string): string {
  return name.toLowerCase().replaceAll("/", ".");
}

/** What a name looks like that nothing has yet: it is asked for as that. */
function guessed(name: string): Column {
  const slash = name.lastIndexOf("/");
  return slash > 0 ? metricColumn({ name: name.slice(0, slash), field: name.slice(slash + 1) }) : paramColumn(name);
}

/** A comparison with what the column's values are written in: a duration in seconds, an experiment that has not started. */
function readable(comparison: Comparison, column: Column): Comparison {
  if (column.kind !== "record") return comparison;
  if (column.key === "duration") {
    const [, number, unit] = /^([\d.]+)\s*([a-z]+)$/i.exec(comparison.value) ?? [];
    const scale = UNITS[unit?.toLowerCase() ?? ""];
    return scale === undefined ? comparison : { ...comparison, value: String(Number(number) * scale) };
  }
  if (column.key === "status" && /^not.started$/i.test(comparison.value)) return { ...comparison, value: "unknown" };
  return isTime(column) ? { ...comparison, value: comparison.value.replace(" ", "T") } : comparison;
}

function isDate(text: string): boolean {
  const [, date] = /^(\d{4}(?:-\d\d(?:-\d\d)?)?)/.exec(text) ?? [];
  return DATE.test(text) && !Number.isNaN(Date.parse(date ?? ""));
}

/** What is wrong with a comparison, as `readable` returns it, whatever the values are; null for nothing. */
function mistake({ name, operator, value, isPattern }: Comparison, column: Column): string | null {
  if (column.kind !== "record" || (isPattern && ANYTHING.test(value))) return null;
  if ((column.key === "tags" || column.key === "status") && operator !== "=" && operator !== "!=") {
    return `‘${name}’ is compared by = or !=`;
  }
  if (column.key === "status" && !STANDINGS.includes(value.toLowerCase())) {
    return `there is no status ‘${value}’: write ${STANDINGS.slice(0, -1).join(", ")} or "not started"`;
  }
  if (isTime(column) && !isDate(value)) return `‘${value}’ is no date: write one such as 2026-01-31`;
  if (column.key === "duration" && numberOf(value) === null) return `‘${value}’ is no duration: write seconds, or 90s, 10min, 2h`;
  return null;
}
