/** The experiments as this page knows them: listed once, then only what has changed. */

import { signal } from "@preact/signals";

import { ApiError, get, pages, post } from "../../api/client";
import { encode } from "../../api/json";
import type { Experiments, ExperimentValues, ListedExperiment, MetricField, Values } from "../../api/types";

/** Parameters and last values of one experiment, when it had so many rows. */
export interface Known {
  rows: number;
  params: Record<string, unknown>;
  metrics: { name: string | null; fields: string[] }[];
  /** By the column's key. */
  values: Map<string, unknown>;
}

export interface WantedMetric {
  key: string;
  metric: MetricField;
}

const FIRST_PAGE = 100;
const PAGE = 1000;
const BATCH = 200;
const METRICS_MAX = 32;
const INVALID = 400;
/** Of texts that the server looks for at once, and their characters. */
const [TEXTS_MAX, TEXT_MAX] = [32, 1000];

export const records = signal<ReadonlyMap<string, ListedExperiment>>(new Map());
export const values = signal<ReadonlyMap<string, Known>>(new Map());
export const total = signal<number | null>(null);

let asOf: string | null = null;
let loading: Promise<void> | null = null;

/** List everything, a page at a time: the first one is short, so that something is shown soon. */
export function loadAll(signal: AbortSignal): Promise<void> {
  loading ??= list(signal).catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function list(signal: AbortSignal): Promise<void> {
  let cursor: string | null = null;
  let first: string | null = null;
  const found = new Map<string, ListedExperiment>();
  do {
    const limit = first === null ? FIRST_PAGE : PAGE;
    const page: Experiments = await get<Experiments>("experiments", { limit, cursor }, signal);
    for (const record of page.data) found.set(record.id, record);
    first ??= page.asOf;
    cursor = page.hasMore ? page.cursor : null;
    total.value = page.total;
    records.value = new Map(found);
  } while (cursor);
  // what has changed since the first page was asked for may be missing on a later one
  asOf = first;
}

/** Take in what has changed since the last time; list all again where that is so long ago that nobody knows. */
export async function refresh(signal: AbortSignal): Promise<void> {
  await loadAll(signal);
  try {
    await changes(signal);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === INVALID)) throw error;
    loading = null;
    await loadAll(signal);
  }
}

async function changes(signal: AbortSignal): Promise<void> {
  let latest: string | null = null;
  for await (const page of pages<Experiments>("experiments", { limit: PAGE, changed_since: asOf }, signal)) {
    records.value = merged(records.value, page.data);
    latest ??= page.asOf;
  }
  total.value = records.value.size;
  asOf = latest;
}

/** Return the records with changes put in and deleted ones taken out; the same ones where nothing differs. */
export function merged(
  known: ReadonlyMap<string, ListedExperiment>,
  changes: readonly ListedExperiment[],
): ReadonlyMap<string, ListedExperiment> {
  const news = changes.filter((record) =>
    record.deletedAt ? known.has(record.id) : encode(known.get(record.id)) !== encode(record),
  );
  if (!news.length) return known;
  const next = new Map(known);
  for (const record of news) {
    if (record.deletedAt) next.delete(record.id);
    else next.set(record.id, record);
  }
  return next;
}

/** Ask for parameters and last values of those experiments of which they are not known as they are now. */
export async function loadValues(ids: readonly string[], wanted: readonly WantedMetric[], signal: AbortSignal): Promise<void> {
  const asked = wanted.slice(0, METRICS_MAX);
  const lacking = ids.filter((id) => lacks(values.value.get(id), records.value.get(id), asked));
  for (let start = 0; start < lacking.length; start += BATCH) {
    const batch = lacking.slice(start, start + BATCH);
    const data = await askValues(batch, asked.map((each) => each.metric), signal);
    const next = new Map(values.value);
    // those that cannot be read are left out of the answer: they are not asked for again as they are
    for (const id of batch) {
      const rows = records.value.get(id)?.entries ?? 0;
      next.set(id, { rows, params: {}, metrics: [], values: new Map(asked.map(({ key }) => [key, undefined])) });
    }
    for (const each of data) {
      const rows = records.value.get(each.id)?.entries ?? 0;
      const before = values.value.get(each.id);
      const kept = before?.rows === rows ? before.values : [];
      const found = asked.map((metric, at) => [metric.key, each.values[at]] as const);
      next.set(each.id, { rows, params: each.params, metrics: each.metrics, values: new Map([...kept, ...found]) });
    }
    values.value = next;
  }
}

/** Return parameters and last values of those of the experiments that can be read, in as many answers as they need. */
export async function askValues(
  ids: readonly string[],
  metrics: readonly MetricField[],
  signal: AbortSignal,
): Promise<ExperimentValues[]> {
  const found: ExperimentValues[] = [];
  let rest = ids;
  while (rest.length) {
    const answer: Values = await post<Values>("experiments/values", { ids: rest, metrics }, signal);
    found.push(...answer.data);
    // each answer has at least one, so that there are ever fewer
    rest = answer.rest.length < rest.length ? answer.rest : [];
  }
  return found;
}

/** The experiments in whose prefix, tags or readme these words are, as the server has found them. */
export const matches = signal<{ key: string; ids: ReadonlySet<string> }>({ key: "", ids: new Set() });

/** Tells what was looked for. */
export function matchKey(words: readonly string[]): string {
  return JSON.stringify(words);
}

/** Have the server look for words: lists have no readmes. */
export async function loadMatches(words: readonly string[], signal: AbortSignal): Promise<void> {
  const ids = new Set<string>();
  const text = words.slice(0, TEXTS_MAX).map((word) => word.slice(0, TEXT_MAX));
  for await (const page of pages<Experiments>("experiments", { limit: PAGE, text }, signal)) {
    for (const record of page.data) ids.add(record.id);
  }
  matches.value = { key: matchKey(words), ids };
}

/** The experiments that the server has found by a filter, of what these pages do not know themselves. */
export const filtered = signal<{ filter: string; ids: ReadonlySet<string> }>({ filter: "", ids: new Set() });

/** Have the server look for experiments as a filter asks for them. */
export async function loadFiltered(filter: string, signal: AbortSignal): Promise<void> {
  const ids = new Set<string>();
  for await (const page of pages<Experiments>("experiments", { limit: PAGE, filter }, signal)) {
    for (const record of page.data) ids.add(record.id);
  }
  filtered.value = { filter, ids };
}

/** How many of these experiments have never been asked for their parameters and these values. */
export function unread(
  ids: readonly string[],
  wanted: readonly WantedMetric[],
  known: ReadonlyMap<string, Pick<Known, "values">>,
): number {
  const asked = wanted.slice(0, METRICS_MAX);
  return ids.filter((id) => asked.some(({ key }) => !known.get(id)?.values.has(key)) || !known.has(id)).length;
}

function lacks(known: Known | undefined, record: ListedExperiment | undefined, wanted: readonly WantedMetric[]): boolean {
  return !known || known.rows !== record?.entries || wanted.some((each) => !known.values.has(each.key));
}
