/** Which charts there are: one for each field of each metric, in groups by the beginning of the metric's name. */

import type { MetricFields } from "../../api/types";
import { natural } from "../../ui/format";

/** Fields that say where a row is, and are drawn along and not up. */
export const AXES: readonly string[] = ["step", "epoch"];

const JUDGED: readonly (readonly string[])[] = [["val", "valid", "validation"], ["eval", "evaluation"], ["test"], ["train", "training"]];

export interface ChartOf {
  key: string;
  name: string | null;
  field: string;
  title: string;
  /** All fields of the metric: one of them may be the x. */
  fields: readonly string[];
}

export interface Group {
  name: string;
  charts: ChartOf[];
}

/** @param media Titles of what is looked at elsewhere. */
export function chartGroups(metrics: readonly MetricFields[], search: string, media: ReadonlySet<string> = new Set()): Group[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map<string, Group>();
  for (const { name, fields } of [...metrics].sort((a, b) => natural(a.name ?? "", b.name ?? ""))) {
    for (const field of fields) {
      if (AXES.includes(field) && fields.length > 1) continue;
      const title = titleOf(name, field);
      if (media.has(title) || !words.every((word) => title.toLowerCase().includes(word))) continue;
      const group = groupOf(name);
      const known = groups.get(group) ?? { name: group, charts: [] };
      known.charts.push({ key: keyOf(name, field), name, field, title, fields });
      groups.set(group, known);
    }
  }
  const inOrder = [...groups.values()].sort((a, b) => rankOf(a.name) - rankOf(b.name) || natural(a.name, b.name));
  const found = together(inOrder.filter((group) => !isSystem(group.name)));
  return [...found, ...inOrder.filter((group) => isSystem(group.name))];
}

/** What a run is judged by comes first, then what it learns from, then the rest, and last the load of machines. */
function rankOf(group: string): number {
  const first = group.split("/", 1)[0]!.toLowerCase();
  if (isSystem(group)) return JUDGED.length + 1;
  const at = JUDGED.findIndex((names) => names.includes(first));
  return at === -1 ? JUDGED.length : at;
}

/** Whether a metric, or a group of them, tells of the load of machines and not of what is trained there. */
export function isSystem(name: string | null): boolean {
  return name !== null && (name === "system" || name.startsWith("system/"));
}

/** Put groups of one chart into one, where there are several: each by itself would take a whole line. */
function together(groups: Group[]): Group[] {
  const single = groups.filter((group) => group.charts.length === 1);
  if (single.length < 2) return groups;
  const rest = { name: groups.length === single.length ? "metrics" : "others", charts: single.flatMap((group) => group.charts) };
  return [...groups.filter((group) => group.charts.length > 1), rest];
}

/** Return the chart of a number that is inside of a chart's dicts; `field` is its whole dotted name. */
export function chartInside(chart: ChartOf, field: string): ChartOf {
  return { ...chart, key: keyOf(chart.name, field), field, title: titleOf(chart.name, field) };
}

/** Return the chart that the address means, be it of a number inside of a dict. */
export function chartOfKey(charts: readonly ChartOf[], key: string | null): ChartOf | undefined {
  if (key === null) return undefined;
  const found = charts.find((chart) => chart.key === key);
  if (found) return found;
  for (const chart of charts) {
    const start = `${keyOf(chart.name, chart.field).slice(0, -2)}.`;
    if (key.startsWith(start) && key.endsWith('"]')) return chartInside(chart, fieldOf(key));
  }
  return undefined;
}

function fieldOf(key: string): string {
  try {
    return String((JSON.parse(key) as unknown[])[1]);
  } catch {
    return key; // somebody wrote it: a field of this name has no numbers, and the chart says so
  }
}

function keyOf(name: string | null, field: string): string {
  return JSON.stringify([name, field]);
}

export function titleOf(name: string | null, field: string): string {
  return name === null ? field : `${name}/${field}`;
}

/** Whether a value is an image, a table and the like, which another tab shows. */
export function isMedia(value: unknown): boolean {
  return typeof value === "object" && value !== null && "_type" in value;
}

/** The dotted names of the numbers in a nested dict; none where the value is no dict. */
export function numbersInside(value: unknown, name: string): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value) || "__repr__" in value || isMedia(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    typeof item === "number" || typeof item === "bigint" ? [`${name}.${key}`] : numbersInside(item, `${name}.${key}`),
  );
}

function groupOf(name: string | null): string {
  if (name === null) return "(unnamed)";
  const slash = name.lastIndexOf("/");
  return slash > 0 ? name.slice(0, slash) : name;
}

/** What a chart says whose metric has no such field as the chosen x; null where it has. */
export function insteadOf(chosen: string, { name, fields }: Pick<ChartOf, "name" | "fields">): string | null {
  if (isSystem(name) || axisOf(chosen, { name, fields }) === chosen) return null;
  return `one row after the other: it has no ${chosen}`;
}

/** The x of a chart: what is chosen, where the metric has it; else the index, and of the load the time. */
export function axisOf(chosen: string, { name, fields }: Pick<ChartOf, "name" | "fields">): string {
  if (["index", "time", "relative"].includes(chosen) || fields.includes(chosen)) return chosen;
  return isSystem(name) ? "relative" : "index";
}

/** What can be chosen as x: what every metric has, and fields that are usually x, where any has them. */
export function axes(metrics: readonly MetricFields[]): [string, string][] {
  const found = AXES.filter((name) => metrics.some((metric) => metric.fields.includes(name)));
  return [
    ...found.map((name): [string, string] => [name, name]),
    ["index", "row"],
    ["time", "time"],
    ["relative", "time since start"],
  ];
}
