/** What the parts of a workspace have in common, made of the view, the run set, and what is known of its runs. */

import { computed, signal } from "@preact/signals";

import { get } from "../../api/client";
import { encode } from "../../api/json";
import type { Attempts, ListedExperiment, MetricFields } from "../../api/types";
import { theme } from "../../state/theme";
import { now } from "../../ui/basic";
import { colorAt, placesOf } from "./colors";
import { askedBy, chosenByThemselves, type Column, columnOf, objectiveOf, paramsWithin } from "./columns";
import { fields, together } from "./fields";
import { type Group, groupsOf, sampleOf } from "./groups";
import { laidOut } from "./heads/layout";
import { type Coloring, coloringOf } from "./coloring";
import { type Asked, listing, nameIn } from "./runs";
import { axesOf, chartsOf, hasMedia, ownCharts } from "./sections";
import { view } from "./view";
import { drawnGroups, drawnRuns } from "./visible";

/** The groups of the run set; none where it is not grouped. */
export const groups = computed(() => groupsOf(listing.value.rows, view.value.group, now.peek()));

export const isGrouped = computed(() => view.value.group.length > 0);

export const groupsDrawn = computed(() => drawnGroups(groups.value, view.value));

/** Groups whose runs are seen one by one. */
export const opened = signal<ReadonlySet<string>>(new Set());

export function turnGroup(key: string): void {
  const next = new Set(opened.peek());
  if (!next.delete(key)) next.add(key);
  opened.value = next;
}

/** The runs that are drawn, alone or in a group. */
export const drawn = computed(() =>
  isGrouped.value
    ? groupsDrawn.value.flatMap((group) => group.runs)
    : drawnRuns(listing.value.rows, listing.value.besides, view.value),
);

/** The runs by which is known which metrics there are: of large groups a few. */
export const sampled = computed(() =>
  isGrouped.value ? sampleOf(groupsDrawn.value) : drawn.value,
);

/** Their metrics, with all fields that these have in any of them. */
export const metrics = computed(() => together(sampled.value, fields.value));

/** Charts in which nothing is a number, as far as is known of the runs that are drawn. */
const empty = signal<{ runs: string; titles: ReadonlySet<string> }>({ runs: "", titles: new Set() });

function drawnIds(): string {
  return sampled.value.map((run) => run.id).join();
}

export function markEmpty(title: string): void {
  const runs = drawnIds();
  const { titles } = empty.peek().runs === runs ? empty.peek() : { titles: [] };
  empty.value = { runs, titles: new Set([...titles, title]) };
}

export const charts = computed(() => {
  const { runs, titles } = empty.value;
  const all = chartsOf(metrics.value);
  return titles.size && runs === drawnIds() ? all.filter((chart) => !titles.has(chart.title)) : all;
});

/** Charts that somebody has put together. */
export const own = computed(() => ownCharts(view.value.own, charts.value, metrics.value));

export const axes = computed(() => axesOf(metrics.value));

/** The x of all charts that have it. */
export const chosenX = computed(() => view.value.x ?? axes.value[0]![0]);

/** The result by which runs are compared; null where nothing tells. */
export const goal = computed((): Column | null => {
  const given = view.value.goal;
  return (given === null ? null : columnOf(given, metrics.value)) ?? objectiveOf(metrics.value);
});

/** Whether it is known which columns there are: the result among them comes first, and would push the others along. */
export const areColumnsKnown = computed(
  () => view.value.columns !== null || !sampled.value.length || sampled.value.some((run) => fields.value.has(run.id)),
);

/** The columns of the table, in their order. */
export const columns = computed((): Column[] => {
  const { columns, stuck, table } = view.value;
  const params = table ? paramsWithin(innerWidth) : undefined;
  const all = columns ? columns.flatMap((key) => columnOf(key, metrics.value) ?? []) : chosenByThemselves(listing.value.rows, metrics.value, params);
  return laidOut(all, stuck);
});

/** What lists are asked for; the same one for as long as it says the same. */
export const asked = computed((): Asked => {
  const { folder, filter, order, shown, except, group, color } = view.value;
  // all parameters are told anyhow: asking by name would ask twice
  const given = columns.value.filter((column) => column.kind !== "param");
  const coloredBy = color === null ? null : columnOf(color, metrics.value);
  const besides = [goal.value, coloredBy?.kind === "param" ? null : coloredBy].filter((column) => column !== null);
  const wanted = [...given, ...besides].flatMap((column) => askedBy(column) ?? []);
  const named = shown === "all" || group.length ? [] : [...except];
  const next: Asked = { folder, filter, order, columns: [...new Set(wanted)], named };
  if (last && encode(last) === encode(next)) return last;
  last = next;
  return next;
});
let last: Asked | null = null;

/** By what runs are coloured, with a legend; null where each has its own colour. */
export const coloring = computed((): Coloring | null => {
  const { color } = view.value;
  const column = color === null ? null : columnOf(color, metrics.value);
  return column && coloringOf(column, listing.value.rows, theme.value, now.peek());
});

/** Of drawn runs by their ids, and of groups by their keys; a run in a group has its group's. */
export const colors = computed((): ReadonlyMap<string, string> => {
  if (isGrouped.value) {
    const ofGroups = palette(groups.value.map(({ key }) => groupId(key)));
    const members = groups.value.flatMap(({ key, runs }) => runs.map((run) => [run.id, ofGroups.get(groupId(key))!] as const));
    return new Map([...ofGroups, ...members]);
  }
  const inTime = [...drawn.value].sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id));
  const by = coloring.value;
  if (by) return new Map(inTime.map((run) => [run.id, by.colorOf(run)]));
  const { colored, folder } = view.value;
  const chosen = new Map(inTime.flatMap((run) => colorChosen(run, colored.get(nameIn(run, folder)))));
  return new Map([...palette(inTime.map((run) => run.id)), ...chosen]);
});

function colorChosen(run: ListedExperiment, place: number | undefined): [string, string][] {
  return place === undefined ? [] : [[run.id, colorAt(place, theme.value)]];
}

function palette(ids: readonly string[]): ReadonlyMap<string, string> {
  return new Map([...placesOf(ids)].map(([id, place]) => [id, colorAt(place, theme.value)]));
}

/** What stands for a group where runs have their ids. */
export function groupId(key: string): string {
  return `=${key}`;
}

/** A line of the run set: a run, of an opened group too, or a group. */
export type Entry = { group: Group; run?: undefined } | { run: ListedExperiment; group?: undefined; inside: string | null };

/** The lines of a run set that is grouped. */
const grouped = computed((): Entry[] =>
  groups.value.flatMap((group): Entry[] => [
    { group },
    ...(opened.value.has(group.key) ? group.runs.map((run) => ({ run, inside: group.key })) : []),
  ]),
);

export function entryCount(): number {
  return isGrouped.value ? grouped.value.length : listing.value.total;
}

/** The line at a place; undefined where it has not been read yet. */
export function entryAt(at: number): Entry | undefined {
  if (isGrouped.value) return grouped.value[at];
  const run = listing.value.rows[at];
  return run && { run, inside: null };
}

/** Of runs that were started several times: the attempt that is drawn, null for the newest one's of each step. */
const attempts = signal<ReadonlyMap<string, { count: number; drawn: number | null }>>(new Map());

export function attemptOf(run: ListedExperiment): number | null {
  return attempts.value.get(run.id)?.drawn ?? null;
}

/** Whether it is known which attempt of a run is drawn. */
export function isSettled(run: ListedExperiment): boolean {
  return run.attempts < 2 || attempts.value.has(run.id);
}

/** Ask which attempts there are, of those runs that were started again since they were asked for. */
export async function loadAttempts(runs: readonly ListedExperiment[], signal: AbortSignal): Promise<void> {
  const unknown = runs.filter((run) => run.attempts > 1 && attempts.peek().get(run.id)?.count !== run.attempts);
  for (const run of unknown) {
    const [newest] = (await get<Attempts>(`experiments/${run.id}/attempts`, { limit: 1 }, signal)).data;
    // one that began anew is drawn alone; one that goes on from a step, with what it goes on from
    const isAlone = newest !== undefined && newest.resumeFrom === null && newest.number > 1;
    attempts.value = new Map(attempts.peek()).set(run.id, { count: run.attempts, drawn: isAlone ? newest.number : null });
  }
}

/** The fields that a run has of a metric; undefined where it lacks the metric, or that is not known. */
export function fieldsIn(run: ListedExperiment, name: string | null): readonly string[] | undefined {
  return byName.value.get(run.id)?.get(name);
}

/** Of the drawn runs those that have logged images, tables and the like. */
export const withMedia = computed(() => drawn.value.filter((run) => fields.value.get(run.id)?.metrics.some(hasMedia)));

const byName = computed((): ReadonlyMap<string, ReadonlyMap<string | null, readonly string[]>> => {
  const index = (all: readonly MetricFields[]): ReadonlyMap<string | null, readonly string[]> =>
    new Map(all.map(({ name, fields }) => [name, fields]));
  return new Map([...fields.value].map(([id, known]) => [id, index(known.metrics)]));
});
