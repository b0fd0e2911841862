/** Histograms over steps, painted: as columns of a heatmap, or as ridges one behind the other. */

import { type Histogram } from "../../experiment/media";
import { scaleColor } from "../colors";
import type { Theme } from "../../../state/theme";

export const [WIDTH, HEIGHT] = [320, 140];
/** Of more steps so many are taken, as far apart as one another. */
export const COLUMNS_MAX = 80;
const RIDGES_MAX = 24;
/** Of the height, what the highest ridge takes. */
const HIGHEST = 0.4;

export interface Column {
  step: number;
  histogram: Histogram;
}

export type Ends = readonly [low: number, high: number];

export function spreadOver<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items];
  return Array.from({ length: most }, (_, at) => items[Math.round((at * (items.length - 1)) / (most - 1))]!);
}

export function endsOf(columns: readonly Column[]): Ends | null {
  if (!columns.length) return null;
  const edges = columns.map(({ histogram }) => histogram.edges);
  return [Math.min(...edges.map((each) => each[0]!)), Math.max(...edges.map((each) => each.at(-1)!))];
}

/** How many there are of a value, however wide its bin is. */
export function densityOf({ counts, edges }: Histogram): number[] {
  return counts.map((count, bin) => count / (edges[bin + 1]! - edges[bin]! || 1));
}

/** A column for each step, from the lowest value to the highest, the darker the more there are of it. */
export function paintHeat(context: CanvasRenderingContext2D, columns: readonly Column[], [low, high]: Ends, chosen: number, theme: Theme): void {
  context.clearRect(0, 0, WIDTH, HEIGHT);
  const width = WIDTH / columns.length;
  const top = (value: number): number => HEIGHT * (1 - (value - low) / (high - low || 1));
  columns.forEach(({ step, histogram }, at) => {
    const { edges } = histogram;
    const density = densityOf(histogram);
    const most = Math.max(...density, Number.MIN_VALUE);
    density.forEach((each, bin) => {
      if (!each) return;
      context.fillStyle = scaleColor(Math.sqrt(each / most), theme);
      context.fillRect(at * width, top(edges[bin + 1]!), Math.max(1, width - 0.5), Math.max(1, top(edges[bin]!) - top(edges[bin + 1]!)));
    });
    if (step !== chosen) return;
    context.strokeStyle = getComputedStyle(context.canvas).color;
    context.strokeRect(at * width + 0.5, 0.5, Math.max(2, width - 1), HEIGHT - 1);
  });
}

/** The steps that have a ridge: as many as can be told apart, and the chosen one among them. */
export function ridgesOf(columns: readonly Column[], chosen: number): Column[] {
  const found = spreadOver(columns, RIDGES_MAX);
  const wanted = columns.find(({ step }) => step === chosen);
  if (!wanted || found.includes(wanted)) return found;
  // in the place of the one that is nearest to it, but for the ends
  const inner = found.slice(1, -1).map(({ step }) => Math.abs(step - chosen));
  found[1 + inner.indexOf(Math.min(...inner))] = wanted;
  return found;
}

/** A ridge for each step, from the lowest value at the left to the highest, the first step behind, the last in front. */
export function paintRidges(context: CanvasRenderingContext2D, columns: readonly Column[], [low, high]: Ends, chosen: number, theme: Theme): void {
  context.clearRect(0, 0, WIDTH, HEIGHT);
  const style = getComputedStyle(context.canvas);
  const ridges = ridgesOf(columns, chosen);
  const most = Math.max(...ridges.flatMap(({ histogram }) => densityOf(histogram)), Number.MIN_VALUE);
  const left = (value: number): number => (WIDTH * (value - low)) / (high - low || 1);
  const highest = ridges.length > 1 ? HEIGHT * HIGHEST : HEIGHT - 2;
  ridges.forEach(({ step, histogram }, at) => {
    const { edges } = histogram;
    const base = ridges.length > 1 ? highest + ((HEIGHT - 1 - highest) * at) / (ridges.length - 1) : HEIGHT - 1;
    context.beginPath();
    context.moveTo(left(edges[0]!), base);
    densityOf(histogram).forEach((each, bin) => {
      const y = base - (each / most) * (highest - 1);
      context.lineTo(left(edges[bin]!), y);
      context.lineTo(left(edges[bin + 1]!), y);
    });
    context.lineTo(left(edges.at(-1)!), base);
    // what is behind it is hidden by it
    context.fillStyle = style.backgroundColor;
    context.fill();
    const isChosen = step === chosen;
    context.lineWidth = isChosen ? 2 : 1;
    context.strokeStyle = isChosen ? style.color : scaleColor(ridges.length > 1 ? at / (ridges.length - 1) : 1, theme);
    context.stroke();
  });
}
