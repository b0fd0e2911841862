/** Which charts there are: one for each field of each metric, in groups by the beginning of the metric's name. */

import type { MetricInfo } from "../../api/types";

/** Fields that say where a row is, and are drawn along and not up. */
export const AXES: readonly string[] = ["step", "epoch"];

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

export function chartGroups(metrics: readonly MetricInfo[], search: string): Group[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map<string, Group>();
  for (const { name, fields } of metrics) {
    for (const field of fields) {
      if (AXES.includes(field) && fields.length > 1) continue;
      const title = name === null ? field : `${name}/${field}`;
      if (!words.every((word) => title.toLowerCase().includes(word))) continue;
      const group = groupOf(name);
      const known = groups.get(group) ?? { name: group, charts: [] };
      known.charts.push({ key: JSON.stringify([name, field]), name, field, title, fields });
      groups.set(group, known);
    }
  }
  return [...groups.values()];
}

function groupOf(name: string | null): string {
  if (name === null) return "(unnamed)";
  const slash = name.lastIndexOf("/");
  return slash > 0 ? name.slice(0, slash) : name;
}

/** The x of a chart: what is chosen, where the metric has it, else the index. */
export function axisOf(chosen: string, fields: readonly string[]): string {
  return ["index", "time", "relative"].includes(chosen) || fields.includes(chosen) ? chosen : "index";
}

/** What can be chosen as x: what every metric has, and fields that are usually x, where any has them. */
export function axes(metrics: readonly MetricInfo[]): [string, string][] {
  const found = AXES.filter((name) => metrics.some((metric) => metric.fields.includes(name)));
  return [
    ...found.map((name): [string, string] => [name, name]),
    ["index", "index"],
    ["time", "time"],
    ["relative", "time since start"],
  ];
}
