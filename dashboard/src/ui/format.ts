/** Numbers, times and values as people read them. */

import { encode } from "../api/json";
import { plain } from "./terminal";

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const narrow = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
/** So many digits a double has whatever it was reckoned from; those behind may be noise. */
const CLEAN_DIGITS = 15;
const grouped = new Intl.NumberFormat("en");

/** Orders names as people count, 2 before 10. One collator for all: to make one for each comparison takes far longer. */
export const natural = new Intl.Collator("en", { numeric: true }).compare;

/** "3 minutes ago", or in little room "3min ago"; a time ahead, which a wrong clock gives, is told as one. */
export function ago(iso: string, now: number, isShort = false): string {
  const format = isShort ? narrow : relative;
  const seconds = (Date.parse(iso) - now) / 1000;
  if (!Number.isFinite(seconds)) return iso;
  if (Math.abs(seconds) < 10) return "just now";
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(Math.round(seconds), "second");
}

/** A moment by the reader's own clock and calendar: "2026-01-31 09:05:00". */
export function localTime(iso: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** "1 h 02 min"; a negative one, which a wrong clock gives, is "–". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(Math.floor(seconds % 60))} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function bytes(size: number): string {
  if (size < 1000) return `${size} B`;
  for (const [unit, scale] of [["kB", 1e3], ["MB", 1e6], ["GB", 1e9]] as const) {
    if (size < scale * 1000) return `${(size / scale).toPrecision(3)} ${unit}`;
  }
  return `${(size / 1e12).toPrecision(3)} TB`;
}

export function whole(count: number): string {
  return grouped.format(count);
}

/** "1 run", "2 runs". */
export function several(count: number, what: string): string {
  return `${whole(count)} ${what}${count === 1 ? "" : "s"}`;
}

/** A number exactly as it was logged: the fewest digits that name it and no other. */
export function number(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return Object.is(value, -0) ? "-0" : String(value);
}

/** A number in at most so many significant digits: for means, and where there is little room. */
export function rounded(value: number, digits = 10): string {
  return number(Number(value.toPrecision(digits)));
}

/** A number without the noise that reckoning leaves in the last digits; a whole one has none. */
export function clean(value: number): string {
  return Number.isInteger(value) ? number(value) : rounded(value, CLEAN_DIGITS);
}

/** Any value that was logged, as one line of text. */
export function text(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return number(value);
  if (typeof value === "string") return plain(value);
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (typeof value === "object" && "__repr__" in value && typeof value.__repr__ === "string") return plain(value.__repr__);
  return plain(encode(value));
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
