/** How uPlot is told to draw lines: faint raw values, bands, marks, and what the mouse and the keyboard do. */

import uPlot from "uplot";

import { longest, rounded, tickTexts } from "../ui/format";
import type { Line } from "./load";
import { pan, wheel } from "./mouse";
import { faint } from "./palette";
import { type Drawn, joined, spread } from "./series";

/** Series of uPlot for each line: lowest and highest (the band), raw and smoothed. */
export const PER_LINE = 4;

export interface PlotSettings {
  lines: readonly Line[];
  hidden: ReadonlySet<string>;
  log: boolean;
  smoothing: number;
  x: string;
  relative: boolean;
  syncKey: string | undefined;
  width: number;
  height: number;
  onRange: (range: [number, number] | null) => void;
  onCursor: (plot: uPlot) => void;
  onMarks: (plot: uPlot) => void;
}

const ZOOM = 0.5;
/** Pixels beside the plot, and of a digit there. */
const [Y_WIDTH, CHARACTER] = [62, 6.4];

/** Return the data as uPlot takes it: x, and for each line its lowest, highest, raw and smoothed values. */
export function plotData(drawn: readonly Drawn[]): uPlot.AlignedData {
  const { x, places } = joined(drawn);
  const columns: uPlot.AlignedData[number][] = [];
  drawn.forEach((line, index) => {
    for (const values of [line.low, line.high, line.raw, line.smooth]) {
      columns.push(spread(line.banded || values === line.raw || values === line.smooth ? values : [], places[index]!, x.length));
    }
  });
  return [x, ...columns] as uPlot.AlignedData;
}

export function plotOptions(settings: PlotSettings): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--muted").trim();
  const grid = style.getPropertyValue("--grid").trim();
  const axis: uPlot.Axis = {
    stroke: ink,
    font: "11px system-ui, sans-serif",
    grid: { stroke: grid, width: 1 },
    ticks: { stroke: grid, width: 1, size: 4 },
  };
  const isTime = settings.x === "time" && !settings.relative;
  return {
    width: settings.width,
    height: settings.height,
    legend: { show: false },
    // the last text below is as far to the right as the plot, and half of it beyond
    padding: [8, 24, 0, 0],
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
      bind: {
        dblclick: () => () => (settings.onRange(null), null),
        mousedown: (plot, _, select) => (event) => (pan(plot, event, settings.onRange) ? null : select(event)),
      },
      ...(settings.syncKey ? { sync: { key: settings.syncKey, setSeries: false } } : {}),
    },
    scales: { x: { time: isTime }, y: { distr: settings.log ? 3 : 1 } },
    axes: [
      {
        ...axis,
        size: 28,
        ...(isTime ? {} : { values: (_: uPlot, ticks: number[]) => xTexts(ticks, settings) }),
      },
      {
        ...axis,
        size: (_, texts) => Math.max(Y_WIDTH, CHARACTER * longest(texts ?? []) + 14),
        values: (_, ticks) => (settings.log ? logTexts(ticks) : tickTexts(ticks)),
      },
    ],
    series: [{}, ...settings.lines.flatMap((line) => seriesOf(line, settings))],
    bands: settings.lines.map((line, index) => ({
      series: [index * PER_LINE + 2, index * PER_LINE + 1],
      fill: faint(line.color, 0.16),
    })),
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < 3) return;
          settings.onRange([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        },
      ],
      ready: [(plot) => wheel(plot, settings.onRange)],
      setCursor: [settings.onCursor],
      draw: [settings.onMarks],
    },
  };
}

function seriesOf(line: Line, settings: PlotSettings): uPlot.Series[] {
  const show = !settings.hidden.has(line.key);
  const edge: uPlot.Series = { show, width: 0, points: { show: false } };
  const raw = settings.smoothing > 0 ? faint(line.color, 0.3) : line.color;
  return [
    edge,
    edge,
    { show, stroke: raw, width: settings.smoothing > 0 ? 1 : 1.5, points: { size: 4 } },
    { show: show && settings.smoothing > 0, stroke: line.color, width: 2, points: { show: false } },
  ];
}

/** Write an x as it is read. */
export function xText(x: number, settings: Pick<PlotSettings, "x" | "relative">): string {
  if (settings.x !== "time") return rounded(x, 15);
  if (!settings.relative) return `${new Date(x * 1000).toISOString().replace("T", " ").slice(0, 23)}`;
  const [size, unit] = unitOf(Math.abs(x));
  return `${rounded(x / size, 6)} ${unit}`;
}

function xTexts(ticks: number[], settings: PlotSettings): string[] {
  if (!settings.relative) return tickTexts(ticks);
  const [size, unit] = unitOf(Math.max(0, ...ticks.map(Math.abs)));
  return tickTexts(ticks.map((tick) => tick / size)).map((each) => `${each} ${unit}`);
}

/** Ticks by powers of ten: each has digits of its own, and is null where there is no room for a text. */
function logTexts(ticks: (number | null)[]): string[] {
  return ticks.map((tick) => (tick === null ? "" : rounded(tick, 4)));
}

function unitOf(seconds: number): [number, string] {
  if (seconds < 120) return [1, "s"];
  return seconds < 7200 ? [60, "min"] : [3600, "h"];
}

/** Mark what is no number: at the lower edge NaN and −∞, at the upper one ∞. */
export function drawMarks(plot: uPlot, lines: readonly Line[], drawn: readonly Drawn[], hidden: ReadonlySet<string>): void {
  const { ctx, bbox } = plot;
  const size = 5 * devicePixelRatio;
  ctx.save();
  drawn.forEach((line, index) => {
    const color = lines[index]?.color;
    if (!color || hidden.has(lines[index]!.key)) return;
    ctx.fillStyle = color;
    ctx.strokeStyle = color;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    for (const mark of line.marks) {
      const x = plot.valToPos(mark.x, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const up = mark.kind === "∞";
      const edge = up ? bbox.top : bbox.top + bbox.height;
      const tip = up ? edge + size * 1.6 : edge - size * 1.6;
      ctx.beginPath();
      if (mark.kind === "NaN") {
        ctx.moveTo(x - size / 2, edge - size * 1.3);
        ctx.lineTo(x + size / 2, edge - size * 0.3);
        ctx.moveTo(x + size / 2, edge - size * 1.3);
        ctx.lineTo(x - size / 2, edge - size * 0.3);
        ctx.stroke();
      } else {
        ctx.moveTo(x - size / 2, up ? tip : tip);
        ctx.lineTo(x + size / 2, tip);
        ctx.lineTo(x, edge);
        ctx.fill();
      }
    }
  });
  ctx.restore();
}

/** What a key does to the range of x that is shown: the new range, null for all of it, undefined for nothing. */
export function keyed(key: string, shown: readonly [number, number]): [number, number] | null | undefined {
  const [low, high] = shown;
  const span = high - low;
  switch (key) {
    case "+":
    case "=":
      return [low + (span * (1 - ZOOM)) / 2, high - (span * (1 - ZOOM)) / 2];
    case "-":
      return [low - span / 2, high + span / 2];
    case "ArrowLeft":
      return [low - span / 4, high - span / 4];
    case "ArrowRight":
      return [low + span / 4, high + span / 4];
    case "0":
      return null;
    default:
      return undefined;
  }
}
