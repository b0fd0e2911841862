/** The rows of a chart's lines as comma-separated values (RFC 4180): each as it was logged, and not what is drawn of them. */

import { get } from "../api/client";
import { encode } from "../api/json";
import type { Row, Rows } from "../api/types";
import type { Line } from "./load";

const PAGE = 10_000;

export interface Table {
  /** What the values are called. */
  title: string;
  /** As `ChartProps.x`. */
  x: string;
  /** Whether x is another metric's, as of the time of each row. */
  isElsewhere?: boolean;
  range: readonly [number, number] | null;
  /** Where a line begins, where x counts from there. */
  originOf: (line: Line) => number;
}

/**
 * Yield the table of these lines, some thousand rows at a time.
 *
 * @param onShare Told how much of the rows is there, 0 to 1.
 */
export async function* tableOf(
  lines: readonly Line[],
  table: Table,
  signal: AbortSignal,
  onShare: (share: number) => void,
): AsyncGenerator<string, void> {
  const isField = !["index", "time", "relative"].includes(table.x);
  const several = lines.length > 1;
  const heads = [...(several ? ["line"] : []), "index", "time", ...(isField ? [table.x] : []), table.title];
  yield ended(heads.map(textCell));
  for (const [at, line] of lines.entries()) {
    const first = table.x === "index" && table.range ? Math.max(0, Math.ceil(table.range[0])) : 0;
    const along = isField && table.isElsewhere ? table.x : null;
    for await (const page of rowPages(line, first, along, signal)) {
      const rows = page.data.filter((row) => isIn(row, line, table));
      yield rows
        .map((row) => {
          const value = inside(row.data, line.field);
          if (value === undefined) return "";
          const x = isField ? [cell(along === null ? inside(row.data, table.x) : row.x)] : [];
          return ended([...(several ? [textCell(line.label)] : []), String(row.index), row.createdAt, ...x, cell(value)]);
        })
        .join("");
      onShare((at + Math.min(1, (page.endIndex + 1) / Math.max(1, page.total))) / lines.length);
      const behind = table.x === "index" && table.range && page.endIndex >= table.range[1];
      if (behind) break;
    }
  }
}

/** @param x Of which other metric each row is told the last value; null for none. */
async function* rowPages({ experimentId, name, attempt, rank }: Line, first: number, x: string | null, signal: AbortSignal): AsyncGenerator<Rows, void> {
  for (let start = first, more = true; more; ) {
    const asked = { name, attempt, rank, x, start_index: start, limit: PAGE };
    const page = await get<Rows>(`experiments/${experimentId}/metrics/rows`, asked, signal);
    yield page;
    start = page.endIndex + 1;
    more = page.hasMore;
  }
}

/** Whether a row is in the range that is shown: from its first x on, up to the last. */
function isIn(row: Row, line: Line, { x, isElsewhere, range, originOf }: Table): boolean {
  if (!range) return true;
  const place = isElsewhere && row.x !== undefined ? numberOf(row.x) : placeOf(row, x);
  const at = x === "relative" && place !== null ? place - originOf(line) : place;
  return at !== null && at >= range[0] && at < range[1];
}

function placeOf(row: Row, x: string): number | null {
  if (x === "index") return row.index;
  if (x === "time" || x === "relative") return Date.parse(row.createdAt) / 1000;
  return numberOf(inside(row.data, x));
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" || typeof value === "bigint" ? Number(value) : null;
}

/** The value of a field; of an item of a dict by its dotted name. */
function inside(data: Readonly<Record<string, unknown>>, field: string): unknown {
  if (field in data) return data[field];
  for (let dot = field.indexOf("."); dot > 0; dot = field.indexOf(".", dot + 1)) {
    const value = data[field.slice(0, dot)];
    if (typeof value === "object" && value !== null) {
      const found = inside(value as Record<string, unknown>, field.slice(dot + 1));
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** A value as spreadsheets and pandas read it. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") {
    if (Number.isNaN(value)) return "NaN";
    if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
    return Object.is(value, -0) ? "-0" : String(value);
  }
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  return textCell(typeof value === "string" ? value : encode(value));
}

/** A text that a spreadsheet would take for a formula is made one that it does not. */
function textCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function ended(cells: readonly string[]): string {
  return `${cells.join(",")}\r\n`;
}
