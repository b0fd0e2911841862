/** How wide the columns of the run set are, in which order they stand, and which of them stay in sight. */

import { signal } from "@preact/signals";

import { type Column, metricTitle } from "../columns";
import { COLUMN_LEAST, COLUMN_MAX, type View } from "../view";

/** What stands for the name's column. */
export const NAME = "name";
const WIDTHS: Readonly<Record<string, number>> = { started: 92, active: 92, duration: 92, tags: 120, note: 160, host: 96, status: 84 };
const [WIDTH, GROUP_WIDTH] = [72, 118];
/** Pixels of a character of a head and beside it, and of a column whose name is long. */
const [CHARACTER, BESIDE, NAMED_MAX] = [7, 24, 124];

/** The column whose edge is dragged, and how wide it is for now. */
export const sizing = signal<{ key: string; width: number } | null>(null);

/** Pixels of a column, as somebody has made it, or as it is at first. */
export function widthOf(key: string, widths: View["widths"], isGrouped: boolean, atFirst?: number): number {
  if (sizing.value?.key === key) return sizing.value.width;
  return widths.get(key) ?? atFirst ?? WIDTHS[key] ?? (isGrouped ? GROUP_WIDTH : WIDTH);
}

/** What tells a column in little room, and apart from those beside it: the whole is in its title. */
export function headOf(column: Column, among: readonly Column[] = []): string {
  const last = lastOf(column);
  return among.some((each) => plainTitle(each) !== plainTitle(column) && each.kind === column.kind && lastOf(each) === last) ? plainTitle(column) : last;
}

function lastOf(column: Column): string {
  if (column.kind === "record") return column.title;
  return (column.kind === "metric" ? column.metric.field : column.name.split(".").at(-1)!) || column.title;
}

/** Without what is done to its values, which a head tells beside it. */
function plainTitle(column: Column): string {
  return column.kind === "metric" ? metricTitle(column.metric) : column.title;
}

/** Pixels of a column at first: its head can be read, if that is not long. */
export function widthAtFirst(column: Column, isGrouped: boolean, among: readonly Column[] = []): number {
  if (column.kind === "record") return WIDTHS[column.key] ?? WIDTH;
  const kind = column.kind === "metric" && column.aggregate !== "last" ? column.aggregate.length + 1 : 0;
  const named = (headOf(column, among).length + kind) * CHARACTER + BESIDE;
  return Math.max(isGrouped ? GROUP_WIDTH : WIDTH, Math.min(NAMED_MAX, named));
}

/** Pixels of a column in which its longest text is whole, and of the widest one that is made so. */
const [TEXT_BESIDE, TEXT_MAX] = [14, 260];

/** Pixels of a column in which none of these texts is cut, unless it is very long. */
export function widthOfTexts(texts: readonly string[]): number {
  return Math.min(TEXT_MAX, texts.reduce((most, each) => Math.max(most, each.length), 0) * CHARACTER + TEXT_BESIDE);
}

/** Widths with what is wished for beyond them, as far as there is room: of less than all, each has its share. */
export function widened(widths: readonly number[], wished: readonly number[], room: number): number[] {
  const lacking = widths.map((width, at) => Math.max(0, wished[at]! - width));
  const all = lacking.reduce((sum, each) => sum + each, 0);
  const left = Math.max(0, room - widths.reduce((sum, each) => sum + each, 0));
  const share = all > 0 ? Math.min(1, left / all) : 0;
  return widths.map((width, at) => Math.floor(width + lacking[at]! * share));
}

export function possible(width: number): number {
  return Math.round(Math.max(COLUMN_LEAST, Math.min(COLUMN_MAX, width)));
}

/** Columns as they stand: those that stay in sight come first. */
export function laidOut(columns: readonly Column[], stuck: readonly string[]): Column[] {
  const stays = (column: Column): boolean => stuck.includes(column.key);
  return [...columns.filter(stays), ...columns.filter((column) => !stays(column))];
}

/** The keys with one of them moved before another one; behind all where that is null. */
export function movedBefore(keys: readonly string[], key: string, before: string | null): string[] {
  if (key === before) return [...keys];
  const rest = keys.filter((each) => each !== key);
  const at = before === null ? rest.length : rest.indexOf(before);
  return at < 0 ? [...keys] : [...rest.slice(0, at), key, ...rest.slice(at)];
}

/** The keys with one of them moved by a place. */
export function movedBy(keys: readonly string[], key: string, by: -1 | 1): string[] {
  const at = keys.indexOf(key);
  const to = at + by;
  if (at < 0 || to < 0 || to >= keys.length) return [...keys];
  const next = [...keys];
  [next[at], next[to]] = [next[to]!, next[at]!];
  return next;
}
