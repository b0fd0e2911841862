/** The media of an experiment: files below `media/` whose metadata say of which metric, field and step they are. */

import type { File as FileRow } from "../../api/types";
import { natural } from "../../ui/format";

export const FOLDER = "media";

export interface MediaItem {
  row: FileRow;
  step: number;
  /** What was said of it when it was logged: its `_type`, a caption, sizes. */
  about: Readonly<Record<string, unknown>>;
}

export interface MediaSeries {
  title: string;
  /** By step; of one step, the latest last. */
  items: MediaItem[];
}

/** Put files together by the metric's field that they are values of; what says of no field is left out. */
export function mediaSeries(rows: readonly FileRow[]): MediaSeries[] {
  const found = new Map<string, MediaSeries>();
  for (const row of rows) {
    const about = row.metadata ?? {};
    if (typeof about.field !== "string") continue;
    const title = typeof about.metric === "string" ? `${about.metric}/${about.field}` : about.field;
    const series = found.get(title) ?? { title, items: [] };
    series.items.push({ row, step: stepOf(about.step, row.filename), about });
    found.set(title, series);
  }
  for (const { items } of found.values()) {
    items.sort((a, b) => a.step - b.step || a.row.uploadedAt.localeCompare(b.row.uploadedAt));
  }
  return [...found.values()].sort((a, b) => natural(a.title, b.title));
}

/** All steps of which there is anything, in order. */
export function stepsOf(series: readonly MediaSeries[]): number[] {
  return [...new Set(series.flatMap(({ items }) => items.map(({ step }) => step)))].sort((a, b) => a - b);
}

/** The newest item at a step or before it; of what began later, the first. */
export function itemAt({ items }: MediaSeries, step: number): MediaItem {
  return items.findLast((item) => item.step <= step) ?? items[0]!;
}

function stepOf(step: unknown, filename: string): number {
  if (typeof step === "number" && Number.isFinite(step)) return step;
  if (typeof step === "bigint") return Number(step);
  // how many there were of it before, which its name begins with
  const counted = Number.parseInt(filename, 10);
  return Number.isNaN(counted) ? 0 : counted;
}

export interface Histogram {
  counts: number[];
  edges: number[];
  odd: number;
}

export function histogramOf(value: unknown): Histogram | null {
  const { counts, edges, odd } = (value ?? {}) as Record<string, unknown>;
  const isFine = isNumbers(counts) && isNumbers(edges) && (counts.length ? edges.length === counts.length + 1 : true);
  return isFine ? { counts, edges, odd: typeof odd === "number" ? odd : 0 } : null;
}

export interface TableValue {
  columns: string[];
  rows: unknown[][];
}

export function tableOf(value: unknown): TableValue | null {
  const { columns, rows } = (value ?? {}) as Record<string, unknown>;
  if (!Array.isArray(columns) || !Array.isArray(rows) || !rows.every(Array.isArray)) return null;
  return { columns: columns.map(String), rows };
}

export interface Box {
  box: [number, number, number, number];
  label: string;
}

export function boxesOf(value: unknown): Box[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((each: Record<string, unknown> | null) => {
    const box = each?.box;
    if (!isNumbers(box) || box.length !== 4) return [];
    const score = typeof each?.score === "number" ? ` ${each.score.toPrecision(2)}` : "";
    const label = each?.label === undefined ? "" : String(each.label);
    return [{ box: box as Box["box"], label: `${label}${score}`.trim() }];
  });
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((each) => typeof each === "number");
}
