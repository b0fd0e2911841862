/** Runs put together by what they have in common: by columns, or by all parameters but some. */

import { encode } from "../../api/json";
import type { ListedExperiment } from "../../api/types";
import { text } from "../../ui/format";
import { type Column, columnOf, differing, paramColumn, valueOf } from "./columns";

export interface Group {
  /** Tells groups apart, and is what the address has. */
  key: string;
  label: string;
  runs: ListedExperiment[];
}

/** Before a column: by all parameters that differ but this one. */
const ALL_BUT = "-";

/** Return the groups, in the order of their first runs; of no keys there are none. */
export function groupsOf(runs: readonly ListedExperiment[], keys: readonly string[], now: number): Group[] {
  const columns = columnsFor(runs, keys);
  if (!keys.length) return [];
  const groups = new Map<string, Group>();
  for (const run of runs) {
    const values = columns.map((column) => valueIn(column, run, now));
    const key = encode(values);
    const group = groups.get(key);
    if (group) group.runs.push(run);
    else groups.set(key, { key, label: labelOf(columns, values), runs: [run] });
  }
  return [...groups.values()];
}

/** The columns by which is grouped. */
export function columnsFor(runs: readonly ListedExperiment[], keys: readonly string[]): Column[] {
  const left = keys.filter((key) => key.startsWith(ALL_BUT)).map((key) => columnOf(key.slice(ALL_BUT.length), [])?.key);
  const named = keys.flatMap((key) => (key.startsWith(ALL_BUT) ? [] : (columnOf(key, []) ?? [])));
  if (!left.length) return named;
  const others = differing(runs).map(paramColumn).filter((column) => !left.includes(column.key));
  return [...named, ...others.filter((column) => named.every((each) => each.key !== column.key))];
}

function valueIn(column: Column, run: ListedExperiment, now: number): unknown {
  if (column.key === "folder") return run.prefix.split("/").slice(0, -1).join("/");
  return valueOf(column, run, now) ?? null;
}

function labelOf(columns: readonly Column[], values: readonly unknown[]): string {
  if (!columns.length) return "all";
  const ends = columns.map((column) => column.title.split(/[./]/).at(-1)!);
  const nameOf = (at: number): string => (ends.indexOf(ends[at]!) === ends.lastIndexOf(ends[at]!) ? ends[at]! : columns[at]!.title);
  return columns.map((_, at) => `${nameOf(at)}=${text(values[at])}`).join(" ");
}

/** Runs whose metrics are looked at, of all groups together. */
const SAMPLED = 500;

/** Some runs of each group, as many as can be: one that alone has a metric should be among them. */
export function sampleOf(groups: readonly Group[]): ListedExperiment[] {
  const left = [...groups].sort((a, b) => a.runs.length - b.runs.length);
  let room = SAMPLED;
  const of = new Map(left.map(({ key, runs }, at) => {
    const count = Math.min(runs.length, Math.max(1, Math.floor(room / (left.length - at))));
    room -= count;
    return [key, count] as const;
  }));
  return groups.flatMap(({ key, runs }) => runs.slice(0, of.get(key)));
}

export interface Summary {
  mean: number;
  /** Of a sample; null of one value. */
  std: number | null;
  count: number;
}

/** What the runs of a group have in a column; null where that are no numbers. */
export function summaryOf(column: Column, runs: readonly ListedExperiment[], now: number): Summary | null {
  const given = runs.map((run) => valueOf(column, run, now));
  // an integer that no double holds counts as the nearest one
  const values = given.map((value) => (typeof value === "bigint" ? Number(value) : value)).filter((value): value is number => Number.isFinite(value));
  if (!values.length) return null;
  // as of Welford: a difference of sums of squares would lose all digits of numbers that lie close together
  let [mean, squares] = [0, 0];
  values.forEach((value, at) => {
    const off = value - mean;
    mean += off / (at + 1);
    squares += off * (value - mean);
  });
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null, count: values.length };
}

/** What all runs of a group have alike in a column; undefined where they differ. */
export function sharedIn(column: Column, runs: readonly ListedExperiment[], now: number): unknown {
  const [first, ...others] = runs.map((run) => valueOf(column, run, now));
  const said = encode(first ?? null);
  return others.every((value) => encode(value ?? null) === said) ? first : undefined;
}
