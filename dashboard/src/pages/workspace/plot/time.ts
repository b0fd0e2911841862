/** Ticks of axes that are times: of day by the reader's clock, or since a start. */

import type { Tick } from "../../../charts/ticks";

const [MINUTE, HOUR, DAY] = [60, 3600, 86_400];
const STEPS = [1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE];
const LONGER = [1, 2, 3, 6, 12].map((hours) => hours * HOUR);
const DAYS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].map((days) => days * DAY);

/** Ticks at whole seconds, minutes, hours and days since the epoch in seconds; none where these are too far apart. */
export function dayTicks(low: number, high: number, most: number): Tick[] {
  const step = stepFor(high - low, most);
  if (step === null) return [];
  // whole hours and days are those of the reader's own clock
  const shift = new Date(low * 1000).getTimezoneOffset() * MINUTE;
  const found: Tick[] = [];
  let before = "";
  for (let at = Math.ceil((low - shift) / step); at * step + shift <= high; at++) {
    const value = at * step + shift;
    const day = dayOf(value);
    const isNew = step >= DAY || (day !== before && new Date(value * 1000).getHours() === 0);
    found.push({ value, text: isNew ? day : clockOf(value, step) });
    before = day;
  }
  return found;
}

/** Ticks of seconds since a start. */
export function sinceTicks(low: number, high: number, most: number): Tick[] {
  const step = stepFor(high - low, most);
  if (step === null) return [];
  const found: Tick[] = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push({ value: at * step, text: since(at * step) });
  return found;
}

/** "90 s", "1:30 h" and so on: no longer than a tick may be. */
function since(seconds: number): string {
  const [sign, whole] = [seconds < 0 ? "−" : "", Math.abs(seconds)];
  if (whole < MINUTE) return `${sign}${whole}s`;
  if (whole < HOUR) return `${sign}${Math.floor(whole / MINUTE)}m${whole % MINUTE ? `${whole % MINUTE}s` : ""}`;
  const minutes = Math.round((whole % HOUR) / MINUTE);
  if (whole < 2 * DAY) return `${sign}${Math.floor(whole / HOUR)}h${minutes ? `${minutes}m` : ""}`;
  const hours = Math.round((whole % DAY) / HOUR);
  return `${sign}${Math.floor(whole / DAY)}d${hours ? `${hours}h` : ""}`;
}

function stepFor(span: number, most: number): number | null {
  const least = span / Math.max(1, most);
  if (least < STEPS[0]! / 2) return null;
  return [...STEPS, ...LONGER, ...DAYS].find((each) => each >= least) ?? null;
}

function clockOf(seconds: number, step: number): string {
  const at = new Date(seconds * 1000);
  const parts = [at.getHours(), at.getMinutes(), ...(step < MINUTE ? [at.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

function dayOf(seconds: number): string {
  const at = new Date(seconds * 1000);
  return `${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;
}
