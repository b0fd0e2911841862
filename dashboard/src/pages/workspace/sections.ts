/** Which charts there are, and in which sections they stand. */

import type { MetricField, MetricFields } from "../../api/types";
import { natural } from "../../ui/format";
import { metricTitle } from "./columns";
import type { View } from "./view";

/** Fields that say where a row is: they are drawn along, and have no chart of their own. */
export const ALONG: readonly string[] = ["step", "global_step", "epoch", "iteration", "iter", "env_step", "tokens", "samples_seen"];
const ALWAYS: readonly (readonly [string, string])[] = [
  ["index", "index of the row"],
  ["relative", "time since start"],
  ["time", "time of day"],
];
const UNNAMED = "charts";
/** What each of media has. */
const TYPE = "._type";
export const [PINNED, OWN] = ["Pinned", "Own charts"];

/** What a line of a chart shows of each run. */
export type Part = { name: string | null; field: string } | { expression: string };

export interface ChartOf {
  /** As the address has it, and as it is found. */
  title: string;
  parts: readonly Part[];
  /** All fields of its metrics: one of them may be the x. */
  fields: readonly string[];
}

export interface Section {
  name: string;
  charts: ChartOf[];
  open: boolean;
}

/** All charts of the metrics, in the order of their names. */
export function chartsOf(metrics: readonly MetricFields[]): ChartOf[] {
  const charts = metrics.flatMap(({ name, fields }) =>
    withoutMedia(fields)
      .filter((field) => fields.length === 1 || !ALONG.includes(field))
      .map((field) => ({ title: metricTitle({ name, field }), parts: [{ name, field }] as const, fields })),
  );
  return apart(charts).sort((a, b) => natural(a.title, b.title));
}

/** With a title for each: the field `a/loss` of the metric `val` is called as the field `loss` of `val/a` is. */
function apart(charts: readonly (Omit<ChartOf, "parts"> & { parts: readonly [MetricField] })[]): ChartOf[] {
  const known = new Set<string>();
  return charts.map((chart) => {
    const { name, field } = chart.parts[0];
    const title = known.has(chart.title) ? `${chart.title} (${field} of ${name ?? "no metric"})` : chart.title;
    known.add(chart.title);
    return { ...chart, title };
  });
}

/** Without what is said of images, tables and the like, which have a section of their own. */
function withoutMedia(fields: readonly string[]): readonly string[] {
  const media = fields.filter((field) => field.endsWith(TYPE)).map((field) => field.slice(0, -(TYPE.length - 1)));
  return media.length ? fields.filter((field) => !media.some((each) => field.startsWith(each))) : fields;
}

export function hasMedia({ fields }: Pick<MetricFields, "fields">): boolean {
  return fields.some((field) => field.endsWith(TYPE));
}

/** A chart that somebody has put together: what it is called, and what it shows, each as it was written. */
export interface Own {
  title: string;
  lines: readonly string[];
}

/** Charts that were put together of what there is: names, names with stars, /patterns/, and what else is written, expressions. */
export function ownCharts(own: readonly Own[], charts: readonly ChartOf[], metrics: readonly MetricFields[]): ChartOf[] {
  const fields = [...new Set(metrics.flatMap((metric) => metric.fields))];
  return own.map(({ title, lines }) => {
    const parts = lines.flatMap((line) => partsOf(line, charts));
    const isPlain = parts.every((part) => "field" in part);
    const shared = charts.filter((chart) => chart.parts.some((part) => parts.includes(part)));
    // what an expression is made of is known to the server alone
    const along = isPlain ? [...new Set(shared.flatMap((chart) => chart.fields))] : fields;
    return { title, parts, fields: along };
  });
}

function partsOf(line: string, charts: readonly ChartOf[]): readonly Part[] {
  const same = charts.find((chart) => chart.title === line);
  if (same) return same.parts;
  const pattern = /^\/(.+)\/$/.exec(line)?.[1];
  const isGlob = /^[\p{L}\p{N}_./*-]+$/u.test(line) && line.includes("*");
  const fits = pattern ? matcher(pattern) : isGlob ? matcher(`^${line.replace(/[.]/g, "\\.").replaceAll("*", ".*")}$`) : null;
  const found = fits ? charts.filter((chart) => fits(chart.title)) : [];
  if (fits && (found.length || pattern)) return found.flatMap((chart) => chart.parts);
  return [{ expression: line }];
}

export function partTitle(part: Part): string {
  return "expression" in part ? part.expression : metricTitle(part);
}

/** Return the sections, in the order in which people look at them; what is pinned comes first, and stays where it is too. */
export function sectionsOf(
  charts: readonly ChartOf[],
  own: readonly ChartOf[],
  { find, turned, pinned }: Pick<View, "find" | "turned" | "pinned">,
): Section[] {
  const fits = matcher(find);
  const found = charts.filter((chart) => fits(chart.title));
  const sections = new Map<string, ChartOf[]>();
  const top = pinned.flatMap((title) => found.filter((chart) => chart.title === title));
  for (const chart of found) {
    const name = sectionOf(chart);
    const known = sections.get(name);
    if (known) known.push(chart);
    else sections.set(name, [chart]);
  }
  const names = [...sections.keys()].sort((a, b) => rank(a) - rank(b) || natural(a, b));
  return [
    ...(top.length ? [{ name: PINNED, charts: top, open: !turned.has(PINNED) }] : []),
    ...(own.length ? [{ name: OWN, charts: [...own], open: !turned.has(OWN) }] : []),
    ...names.map((name) => ({ name, charts: sections.get(name)!, open: (name !== "system") !== turned.has(name) })),
  ];
}

/** The first sections, with so many charts together, or fewer where there are no more; a closed one counts as one. */
export function within(sections: readonly Section[], count: number): readonly Section[] {
  let left = count;
  const end = sections.findIndex(({ charts, open }) => (left -= open ? charts.length : 1) <= 0);
  return end < 0 ? sections : sections.slice(0, end + 1);
}

/** A chart's name within its section. */
export function shortTitle(chart: ChartOf, section: string): string {
  return section !== PINNED && section !== OWN && chart.title.startsWith(`${section}/`) ? chart.title.slice(section.length + 1) : chart.title;
}

function sectionOf({ title }: ChartOf): string {
  const slash = title.indexOf("/");
  return slash > 0 ? title.slice(0, slash) : UNNAMED;
}

function rank(name: string): number {
  const judging = [/^val/i, /^eval/i, /^test/i].findIndex((pattern) => pattern.test(name));
  if (judging >= 0) return judging;
  if (/^train/i.test(name)) return 3;
  return name === "system" ? 6 : name === UNNAMED ? 4 : 5;
}

/** A regular expression, or where it is none words that must all be there. */
export function matcher(find: string): (title: string) => boolean {
  if (!find) return () => true;
  try {
    const pattern = new RegExp(find, "i");
    return (title) => pattern.test(title);
  } catch {
    const words = find.toLowerCase().split(/\s+/);
    return (title) => words.every((word) => title.toLowerCase().includes(word));
  }
}

/** What can be chosen as x: fields along which any metric was logged, and what every row has. */
export function axesOf(metrics: readonly MetricFields[]): (readonly [string, string])[] {
  const found = ALONG.filter((along) => metrics.some(({ fields }) => fields.length > 1 && fields.includes(along)));
  return [...found.map((name) => [name, name] as const), ...ALWAYS];
}

/** The x of a chart: what is chosen where the metric has it, else the time since the start, which all rows have. */
export function axisOf(chosen: string, { fields }: Pick<ChartOf, "fields">): string {
  return ALWAYS.some(([name]) => name === chosen) || fields.includes(chosen) ? chosen : "relative";
}

export function axisTitle(axis: string): string {
  if (axis === "relative") return "time since start";
  return axis === "time" ? "" : axis;
}
