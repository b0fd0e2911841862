/** What the mouse does in a chart beside selecting a range: moving along with Shift, coming closer with Ctrl and the wheel. */

import type uPlot from "uplot";

type Range = [number, number];

const STEP = 1.2;
const SETTLE = 120;

/** A range around a place, which keeps where it is: closer for a factor above 1. */
export function closer([low, high]: Range, at: number, factor: number): Range {
  return [at - (at - low) / factor, at + (high - at) / factor];
}

/** A range moved by a share of its width. */
export function moved([low, high]: Range, share: number): Range {
  const by = (high - low) * share;
  return [low + by, high + by];
}

/** Have the wheel, with Ctrl, come closer or go back; the chart follows at once, and is asked for when it has settled. */
export function wheel(plot: uPlot, onRange: (range: Range) => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  plot.over.addEventListener(
    "wheel",
    (event) => {
      const range = shown(plot);
      if (!range || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      const at = plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x");
      const next = closer(range, at, event.deltaY < 0 ? STEP : 1 / STEP);
      plot.setScale("x", { min: next[0], max: next[1] });
      clearTimeout(timer);
      timer = setTimeout(() => onRange(next), SETTLE);
    },
    { passive: false },
  );
}

/** Begin to move along with the mouse; true where this press is one. */
export function pan(plot: uPlot, event: MouseEvent, onRange: (range: Range) => void): boolean {
  const range = shown(plot);
  if (!event.shiftKey || event.button !== 0 || !range) return false;
  const width = plot.over.clientWidth;
  let next = range;
  const move = (now: MouseEvent): void => {
    next = moved(range, (event.clientX - now.clientX) / width);
    plot.setScale("x", { min: next[0], max: next[1] });
  };
  const end = (): void => {
    document.removeEventListener("mousemove", move);
    document.removeEventListener("mouseup", end);
    if (next !== range) onRange(next);
  };
  document.addEventListener("mousemove", move);
  document.addEventListener("mouseup", end);
  return true;
}

function shown(plot: uPlot): Range | null {
  const { min, max } = plot.scales.x ?? {};
  return min == null || max == null ? null : [min, max];
}
