/** Columns of the table: what is known of each experiment, its parameters, the last values of its metrics. */

import type { ListedExperiment, MetricField } from "../../api/types";
import { standing } from "../../ui/basic";
import type { Known } from "./store";

export type Column =
  | { key: string; kind: "record"; title: string }
  | { key: string; kind: "param"; title: string; name: string }
  | { key: string; kind: "metric"; title: string; metric: MetricField };

export const RECORD_COLUMNS: readonly Column[] = [
  { key: "status", kind: "record", title: "Status" },
  { key: "started", kind: "record", title: "Started" },
  { key: "duration", kind: "record", title: "Duration" },
  { key: "rows", kind: "record", title: "Rows" },
  { key: "tags", kind: "record", title: "Tags" },
  { key: "active", kind: "record", title: "Last activity" },
  { key: "host", kind: "record", title: "Host" },
  { key: "owner", kind: "record", title: "Owner" },
  { key: "project", kind: "record", title: "Project" },
];
export const DEFAULT_COLUMNS = ["status", "started", "duration", "rows", "tags"];

export function paramColumn(name: string): Column {
  return { key: `p:${name}`, kind: "param", title: name, name };
}

export function metricColumn(metric: MetricField): Column {
  const key = `m:${metric.name === null ? "" : encodeURIComponent(metric.name)}/${encodeURIComponent(metric.field)}`;
  return { key, kind: "metric", title: metricTitle(metric), metric };
}

export function metricTitle({ name, field }: MetricField): string {
  return name === null ? field : `${name}/${field}`;
}

/** The column that the address names; null where it names none. */
export function columnOf(key: string): Column | null {
  const known = RECORD_COLUMNS.find((column) => column.key === key);
  if (known) return known;
  if (key.startsWith("p:") && key.length > 2) return paramColumn(key.slice(2));
  const metric = /^m:([^/]*)\/(.+)$/.exec(key);
  if (!metric) return null;
  try {
    const [name, field] = [decodeURIComponent(metric[1]!), decodeURIComponent(metric[2]!)];
    return metricColumn({ name: name || null, field });
  } catch {
    return null;
  }
}

/** The value by which a column sorts and filters. */
export function valueOf(column: Column, record: ListedExperiment, known: Known | undefined, now: number): unknown {
  if (column.kind === "param") return known?.params[column.name];
  if (column.kind === "metric") return known?.values.get(column.key);
  switch (column.key) {
    case "status":
      return standing(record);
    case "started":
      return record.startedAt;
    case "active":
      return record.lastActivity;
    case "duration":
      return seconds(record, now);
    case "rows":
      return record.rows;
    case "tags":
      return record.tags;
    case "host":
      return record.host;
    case "owner":
      return record.owner;
    case "project":
      return record.project;
    case "prefix":
      return record.prefix;
    case "folder":
      return record.folder;
    case "ended":
      return record.endedAt;
    case "created":
      return record.createdAt;
    case "attempts":
      return record.attempts;
    case "error":
      return record.error;
    default:
      return record.name;
  }
}

/** How long the run took, or takes so far; null where it never started. */
export function seconds(record: ListedExperiment, now: number): number | null {
  if (!record.startedAt) return null;
  const end = record.endedAt ? Date.parse(record.endedAt) : record.stale ? Date.parse(record.lastActivity ?? "") : now;
  return (end - Date.parse(record.startedAt)) / 1000;
}

/** Compare two values for sorting; what is not there comes last, whichever the direction. */
export function ordered(a: unknown, b: unknown, descending: boolean): number {
  const [noA, noB] = [isNothing(a), isNothing(b)];
  if (noA || noB) return Number(noA) - Number(noB);
  const order =
    isNumber(a) && isNumber(b)
      ? a < b ? -1 : Number(a > b)
      : String(a).localeCompare(String(b), "en", { numeric: true, sensitivity: "base" });
  return descending ? -order : order;
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined || Number.isNaN(value) || (Array.isArray(value) && !value.length);
}
