/** Where values lie on an axis: numbers by their size, or by its logarithm; texts side by side. */

import { rounded, text, tickTexts } from "../../ui/format";

export interface Axis {
  /** Where a value lies, from 0 to 1; null where it has no place. */
  at: (value: unknown) => number | null;
  ticks: { at: number; label: string }[];
}

/** Numbers over this many powers of ten are spread by their logarithms. */
const DECADES = 2;

/** Return the axis of these values: of numbers where nothing else is among them. NaN and ±∞ have no place on it. */
export function axisOf(values: readonly unknown[]): Axis {
  const given = values.filter((value) => value !== null && value !== undefined);
  const numbers = given.filter((value): value is number => typeof value === "number");
  const finite = numbers.filter(Number.isFinite);
  return numbers.length === given.length && finite.length ? numeric(finite) : texts(given.map(text));
}

function numeric(values: readonly number[]): Axis {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const log = low > 0 && high / low >= 10 ** DECADES;
  const measure = log ? Math.log10 : (value: number): number => value;
  const span = measure(high) - measure(low);
  const at = (value: unknown): number | null => {
    if (typeof value !== "number" || !Number.isFinite(value)) return null;
    return span ? (measure(value) - measure(low)) / span : 0.5;
  };
  const places = span ? [0, 0.25, 0.5, 0.75, 1] : [0.5];
  const back = (place: number): number => {
    const value = measure(low) + place * span;
    return log ? 10 ** value : value;
  };
  const ends = places.map(back);
  const labels = log ? ends.map((value) => rounded(value, 3)) : tickTexts(ends);
  return { at, ticks: places.map((place, index) => ({ at: place, label: labels[index]! })) };
}

function texts(values: readonly string[]): Axis {
  const names = [...new Set(values)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const place = (index: number): number => (names.length > 1 ? index / (names.length - 1) : 0.5);
  return {
    at: (value) => {
      const index = value === null || value === undefined ? -1 : names.indexOf(text(value));
      return index === -1 ? null : place(index);
    },
    ticks: names.slice(0, 12).map((name, index) => ({ at: place(index), label: name })),
  };
}
