/** Colours by what runs have in a column: one for each value, or along a scale where there are many numbers. */

import type { ListedExperiment } from "../../api/types";
import type { Theme } from "../../state/theme";
import { natural, text } from "../../ui/format";
import { colorAt, COLORS, scaleColor } from "./colors";
import { type Column, valueOf } from "./columns";

export interface Coloring {
  title: string;
  colorOf: (run: ListedExperiment) => string;
  /** Values with their colours; of a scale its ends and its middle. */
  legend: readonly (readonly [string, string])[];
  isScale: boolean;
  /** Values beyond those of the legend: they have its colours once more. */
  more: number;
}

/** More numbers than these are a scale. */
const APART_MAX = 8;
/** Powers of ten over which a scale is one of logarithms. */
const DECADES = 1.3;
const NOTHING = "#8a8f98";

/** @param scales Whether few numbers are a scale too. */
export function coloringOf(column: Column, runs: readonly ListedExperiment[], theme: Theme, now: number, scales = false): Coloring {
  const values = runs.map((run) => valueOf(column, run, now)).filter((value) => value !== null && value !== undefined);
  const numbers = values.filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  const isScale = numbers.length > 0 && numbers.length === values.length && new Set(numbers).size > (scales ? 1 : APART_MAX);
  return isScale ? scaled(column, numbers, theme, now) : apart(column, values, theme, now);
}

function scaled(column: Column, numbers: readonly number[], theme: Theme, now: number): Coloring {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const isLog = low > 0 && high / low >= 10 ** DECADES;
  const measure = isLog ? Math.log : (value: number): number => value / 2;
  const share = (value: number): number => (measure(value) - measure(low)) / (measure(high) - measure(low));
  const middle = isLog ? Math.sqrt(low) * Math.sqrt(high) : low / 2 + high / 2;
  return {
    title: column.title,
    colorOf: (run) => {
      const value = valueOf(column, run, now);
      return typeof value === "number" && Number.isFinite(value) ? scaleColor(share(value), theme) : NOTHING;
    },
    legend: [low, middle, high].map((value) => [text(Number(value.toPrecision(3))), scaleColor(share(value), theme)] as const),
    isScale: true,
    more: 0,
  };
}

function apart(column: Column, values: readonly unknown[], theme: Theme, now: number): Coloring {
  const names = [...new Set([...values].sort(ordered).map(text))];
  const places = new Map(names.map((name, at) => [name, colorAt(at, theme)]));
  return {
    title: column.title,
    colorOf: (run) => places.get(text(valueOf(column, run, now))) ?? NOTHING,
    legend: [...places].slice(0, COLORS),
    isScale: false,
    more: Math.max(0, places.size - COLORS),
  };
}

/** Numbers by their size, before texts by their letters. */
function ordered(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return Number(typeof b === "number") - Number(typeof a === "number") || natural(text(a), text(b));
}
