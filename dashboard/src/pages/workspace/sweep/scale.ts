/** Where values lie on an axis: numbers by their size, or by its logarithm; texts side by side. */

import { eachPrefixed, fitting, logTicks, prefixed } from "../../../charts/ticks";
import { natural, number, text } from "../../../ui/format";

export interface Axis {
  /** Where a value lies, from 0 to 1; null where it has no place. */
  at: (value: unknown) => number | null;
  ticks: { at: number; label: string }[];
}

/** Numbers over this many powers of ten are spread by their logarithms. */
const DECADES = 1.3;
/** Ticks of an axis, and characters that it is long. */
const [TICKS, CHARACTERS] = [6, 70];

/** Return the axis of these values: of numbers where nothing else is among them. NaN and ±∞ have no place on it. */
export function axisOf(values: readonly unknown[]): Axis {
  const given = values.filter((value) => value !== null && value !== undefined);
  const numbers = given.map(asNumber).filter((value): value is number => typeof value === "number");
  const finite = numbers.filter(Number.isFinite);
  return numbers.length === given.length && finite.length ? numeric(finite) : texts(given.map(text));
}

/** An integer that no double holds has its place where the nearest one has. */
function asNumber(value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}

function numeric(values: readonly number[]): Axis {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const log = low > 0 && high / low >= 10 ** DECADES;
  // halves: the difference of the largest doubles is infinite
  const measure = log ? Math.log10 : (value: number): number => value / 2;
  const span = measure(high) - measure(low);
  const at = (given: unknown): number | null => {
    const value = asNumber(given);
    if (typeof value !== "number" || !Number.isFinite(value)) return null;
    return span > 0 ? (measure(value) - measure(low)) / span : 0.5;
  };
  const made = log ? eachPrefixed(logTicks(low, high, TICKS)) : fitting(low, high, TICKS, CHARACTERS, prefixed);
  // of values that are as close as doubles can be, no round number need lie between
  const shown = made.length > 1 ? made : [...new Set([low, high])].map((value) => ({ value, text: number(value) }));
  return { at, ticks: shown.map((tick) => ({ at: at(tick.value)!, label: tick.text })) };
}

function texts(values: readonly string[]): Axis {
  const names = [...new Set(values)].sort(natural);
  const place = (index: number): number => (names.length > 1 ? index / (names.length - 1) : 0.5);
  return {
    at: (value) => {
      const index = value === null || value === undefined ? -1 : names.indexOf(text(value));
      return index === -1 ? null : place(index);
    },
    ticks: names.slice(0, 12).map((name, index) => ({ at: place(index), label: name })),
  };
}
