/** What one chart has of its own, where it differs from what all charts have: kept in the view, and short in the address. */

import type { Smooth } from "../curves";

/** From a lowest to a highest; null where that is as far as there is anything. */
export type Bounds = readonly [number | null, number | null];

/** Null stands for what all charts have. */
export interface Settings {
  /** A field, "index", "time", "relative", or another metric's as "metric/field", as of the time of each row. */
  x: string | null;
  logX: boolean | null;
  logY: boolean | null;
  /** Of an amount of 0: not at all. */
  smooth: Smooth | null;
  xRange: Bounds | null;
  yRange: Bounds | null;
  /** Whether y goes over what most points have, and outliers lie beyond. */
  cut: boolean;
  /** How many charts wide it is, and how many pixels high. */
  columns: number;
  height: number | null;
}

export const PLAIN: Settings = {
  x: null,
  logX: null,
  logY: null,
  smooth: null,
  xRange: null,
  yRange: null,
  cut: false,
  columns: 1,
  height: null,
};

export const KINDS = ["ema", "mean", "gaussian"] as const satisfies readonly Smooth["kind"][];
export const [COLUMNS_MAX, HEIGHT_LEAST, HEIGHT_MAX] = [6, 100, 1200];

/** Read the parts of an address; what is not understood, of newer pages too, is as all charts have it. */
export function settingsOf(parts: readonly string[]): Settings {
  return parts.reduce((found, part) => ({ ...found, ...said(part) }), PLAIN);
}

function said(part: string): Partial<Settings> {
  const colon = part.indexOf(":");
  const [name, rest] = colon < 0 ? [part, ""] : [part.slice(0, colon), part.slice(colon + 1)];
  switch (name) {
    case "x":
      return rest ? { x: rest } : {};
    case "logx":
      return { logX: rest === "1" };
    case "log":
      return { logY: rest === "1" };
    case "smooth": {
      const [kind, amount] = rest.split(":");
      const smooth = { kind: KINDS.find((each) => each === kind) ?? KINDS[0], amount: Number(amount) };
      return isPossible(smooth) ? { smooth } : {};
    }
    case "xr":
      return { xRange: boundsOf(rest) };
    case "yr":
      return { yRange: boundsOf(rest) };
    case "cut":
      return { cut: true };
    case "wide": {
      const columns = Number(rest);
      return Number.isInteger(columns) && columns >= 1 && columns <= COLUMNS_MAX ? { columns } : {};
    }
    case "high": {
      const height = Number(rest);
      return height >= HEIGHT_LEAST && height <= HEIGHT_MAX ? { height } : {};
    }
    default:
      return {};
  }
}

/** Write what differs from what all charts have; nothing where nothing does. */
export function partsOf(settings: Settings): string[] {
  const { x, logX, logY, smooth, xRange, yRange, cut, columns, height } = settings;
  return [
    ...(x === null ? [] : [`x:${x}`]),
    ...(logX === null ? [] : [`logx:${Number(logX)}`]),
    ...(logY === null ? [] : [`log:${Number(logY)}`]),
    ...(smooth === null ? [] : [`smooth:${smooth.kind}:${smooth.amount}`]),
    ...(xRange === null ? [] : [`xr:${xRange.map((end) => end ?? "").join(":")}`]),
    ...(yRange === null ? [] : [`yr:${yRange.map((end) => end ?? "").join(":")}`]),
    ...(cut ? ["cut"] : []),
    ...(columns === 1 ? [] : [`wide:${columns}`]),
    ...(height === null ? [] : [`high:${height}`]),
  ];
}

/** Whether a server would smooth so. */
export function isPossible({ kind, amount }: Smooth): boolean {
  return Number.isFinite(amount) && amount >= 0 && (kind !== "ema" || amount < 1);
}

function boundsOf(text: string): Bounds | null {
  const [low, high] = text.split(":").map(numberIn);
  return bounds(low ?? null, high ?? null);
}

/** Null where there is nothing between, or no end at all. */
export function bounds(low: number | null, high: number | null): Bounds | null {
  if (low === null && high === null) return null;
  return low !== null && high !== null && low >= high ? null : [low, high];
}

/** A number as somebody writes it; null for none. */
export function numberIn(text: string): number | null {
  const value = Number(text.trim() || Number.NaN);
  return Number.isFinite(value) ? value : null;
}

/** The settings of all charts with those of one of them changed. */
export function changedIn(all: ReadonlyMap<string, Settings>, title: string, change: Partial<Settings>): Map<string, Settings> {
  const next = new Map(all);
  const settings = { ...(all.get(title) ?? PLAIN), ...change };
  if (partsOf(settings).length) next.set(title, settings);
  else next.delete(title);
  return next;
}

/** Up to which x the server is asked, which leaves out that x itself. */
export function above(x: number): number {
  return x + Math.max(Math.abs(x) * Number.EPSILON, Number.MIN_VALUE);
}
