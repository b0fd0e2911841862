/** How uPlot is told to draw lines: faint raw values, bands, marks, and what the mouse and the keyboard do. */

import uPlot from "uplot";

import { clean, localTime, rounded } from "../ui/format";
import type { Line } from "./load";
import { pan, wheel } from "./mouse";
import { faint } from "./palette";
import { type Drawn, joined, spread } from "./series";
import { eachPrefixed, fitting, logTicks, longest, padded, paddedLog, prefixed, type Tick, widened } from "./ticks";

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
  /** See `unitOfX`. */
  unit: number;
  /** What x is called, behind its ticks; nothing where they say so themselves. */
  title: string;
  width: number;
  height: number;
  onRange: (range: [number, number] | null) => void;
  onCursor: (plot: uPlot) => void;
  onMarks: (plot: uPlot) => void;
}

const ZOOM = 0.5;
/** Pixels beside the plot, and of a digit there. */
const [Y_WIDTH, CHARACTER] = [30, 6];
/** Pixels between ticks, at least. */
const [X_SPACE, Y_SPACE] = [40, 20];
/** Seconds: uPlot has no ticks of times that are closer together than a thousandth. */
const TIME_LEAST = 0.01;
/** Pixels to the right of the plot. */
const RIGHT = 10;
/** Pixels between the last tick and the title behind it. */
const TITLE_GAP = 6;
const SHRUNK = 1 / 16;
/** How far x goes on, and how large it is, where it counts as tiny: larger ones are never as close as uPlot cannot show. */
const [TINY, TINY_BELOW] = [1e-12, 0.1];

/** By what uPlot's y is a value: a part of it, so that the differences that uPlot takes of the largest ones are finite. */
export function unitOfY(log: boolean): number {
  return log ? 1 : SHRUNK;
}

/** By what uPlot's x is an x: 1 but for the largest ones, and for tiny ones, since uPlot shows no range below 1e-16. */
export function unitOfX(drawn: readonly Drawn[]): number {
  const ends = drawn.flatMap(({ x }) => (x.length ? [x[0]!, x.at(-1)!] : []));
  if (!ends.some((x) => x !== 0)) return 1;
  const [low, high] = widened(Math.min(...ends), Math.max(...ends));
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (largest > Number.MAX_VALUE * SHRUNK) return SHRUNK;
  return largest < TINY_BELOW && high - low < TINY ? 2 ** -Math.floor(Math.log2(largest)) : 1;
}

/** Return the data as uPlot takes it: x, and for each line its lowest, highest, raw and smoothed values. */
export function plotData(drawn: readonly Drawn[], log: boolean, unitX: number): uPlot.AlignedData {
  const unit = unitOfY(log);
  const { x, places } = joined(drawn);
  const columns: uPlot.AlignedData[number][] = [];
  drawn.forEach((line, index) => {
    for (const values of [line.low, line.high, line.raw, line.smooth]) {
      const wanted = line.banded || values === line.raw || values === line.smooth ? values : [];
      const shrunk = wanted.map((value) => (value === null ? null : value * unit));
      columns.push(spread(shrunk, places[index]!, x.length));
    }
  });
  return [x.map((each) => each * unitX), ...columns] as uPlot.AlignedData;
}

export function plotOptions(settings: PlotSettings): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--muted").trim();
  const grid = style.getPropertyValue("--grid").trim();
  const axis: uPlot.Axis = {
    stroke: ink,
    font: "10.5px system-ui, sans-serif",
    grid: { stroke: grid, width: 1 },
    ticks: { stroke: grid, width: 1, size: 4 },
  };
  const isTime = settings.x === "time" && !settings.relative;
  const unit = unitOfY(settings.log);
  const onRange = (range: [number, number] | null): void =>
    settings.onRange(range && [range[0] / settings.unit, range[1] / settings.unit]);
  return {
    width: settings.width,
    height: settings.height,
    legend: { show: false },
    // the last text below is as far to the right as the plot, and half of it beyond
    padding: [8, RIGHT, 0, 0],
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
      bind: {
        dblclick: () => () => (onRange(null), null),
        mousedown: (plot, _, select) => (event) => (pan(plot, event, onRange) ? null : select(event)),
      },
      ...(settings.syncKey ? { sync: { key: settings.syncKey, setSeries: false } } : {}),
    },
    scales: {
      x: { time: isTime, range: (_, low, high) => rangeOfX(low, high, isTime, settings.unit) },
      y: { distr: settings.log ? 3 : 1, range: (_, low, high) => rangeOfY(low, high, settings.log) },
    },
    axes: [
      {
        ...axis,
        size: isTime ? 40 : 22,
        gap: 3,
        grid: { show: false },
        ...(isTime ? {} : ticked((low, high, pixels) => ticksOfX(low, high, pixels, settings), settings.unit)),
      },
      {
        ...axis,
        size: (_, texts) => Math.max(Y_WIDTH, CHARACTER * longest(texts ?? []) + 14),
        gap: 3,
        ticks: { show: false },
        ...ticked((low, high, pixels) => ticksOfY(low, high, pixels, settings.log), unit),
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
          onRange([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        },
      ],
      ready: [(plot) => wheel(plot, onRange)],
      setCursor: [settings.onCursor],
      draw: [settings.onMarks],
    },
  };
}

function seriesOf(line: Line, settings: PlotSettings): uPlot.Series[] {
  const show = !settings.hidden.has(line.key);
  const smooths = settings.smoothing > 0;
  // The edges are drawn as well, not only filled between: a spike of one row among thousands is as wide as a pixel,
  // and a band of that width is not seen.
  const edge: uPlot.Series = {
    show,
    stroke: faint(line.color, smooths ? 0.16 : 0.6),
    width: smooths ? 0.5 : 1,
    pxAlign: 0,
    points: { show: false },
  };
  const raw = smooths ? faint(line.color, 0.3) : line.color;
  return [
    edge,
    edge,
    // whole pixels would make stairs of a line that falls slowly
    { show, stroke: raw, width: smooths ? 1 : 1.5, pxAlign: 0, points: { size: 5, show: false, filter: (plot, at) => alone(plot.data[at]!) } },
    { show: show && smooths, stroke: line.color, width: 2, pxAlign: 0, points: { show: false } },
  ];
}

/** Write an x as it is read. */
export function xText(x: number, settings: Pick<PlotSettings, "x" | "relative">): string {
  if (settings.x !== "time") return clean(x);
  // by the clock that the axis has, which is the reader's
  if (!settings.relative) return `${localTime(new Date(x * 1000).toISOString())}.${String(Math.floor(x * 1000) % 1000).padStart(3, "0")}`;
  const [size, unit] = unitOf(Math.abs(x));
  return `${rounded(x / size, 6)} ${unit}`;
}

/** An axis whose ticks are made here; `unit` is what uPlot has for 1. */
function ticked(
  make: (low: number, high: number, pixels: number) => Tick[],
  unit: number,
): Pick<uPlot.Axis, "incrs" | "splits" | "values" | "filter"> {
  let made: Tick[] = [];
  let length = 0;
  return {
    // uPlot wants a step before it asks for ticks, and asks for none where it finds no step that is wide enough
    incrs: (_, __, ___, ____, pixels) => ((length = pixels), [Number.MAX_VALUE]),
    splits: (_, __, low, high) => (made = make(low / unit, high / unit, length)).map((tick) => tick.value * unit),
    values: () => made.map((tick) => tick.text),
    filter: (_, splits) => splits,
  };
}

/** Points with no neighbour, of which no line would be seen. */
function alone(values: uPlot.AlignedData[number]): number[] {
  const isThere = (at: number): boolean => values[at] !== null && values[at] !== undefined;
  // what another line has between two of this one's is no gap
  const places = [...values.keys()].filter((at) => values[at] !== undefined);
  return places.filter((at, index) => isThere(at) && !isThere(places[index - 1] ?? -1) && !isThere(places[index + 1] ?? -1));
}

function ticksOfY(low: number, high: number, pixels: number, log: boolean): Tick[] {
  const most = Math.max(2, Math.floor(pixels / Y_SPACE));
  return log ? eachPrefixed(logTicks(low, high, most)) : fitting(low, high, most, Infinity, prefixed);
}

function ticksOfX(low: number, high: number, pixels: number, { x, relative, title }: PlotSettings): Tick[] {
  const [size, unit] = relative ? unitOf(Math.max(Math.abs(low), Math.abs(high))) : [1, ""];
  const ending = unit && ` ${unit}`;
  const characters = pixels / CHARACTER;
  const most = Math.floor(pixels / X_SPACE);
  // half an index is none
  const count = x === "index" ? Math.max(1, Math.min(most, Math.floor(high - low))) : most;
  // the units take room as well
  const made = fitting(low / size, high / size, count, characters * (1 - ending.length / 20), prefixed);
  // half of the last text is beyond the plot, where there is little room, and the title is behind it
  const span = high / 2 - low / 2;
  const room = (tick: Tick): number => ((high / 2 - (tick.value * size) / 2) / span) * pixels + (title ? -title.length * CHARACTER - TITLE_GAP : RIGHT);
  return made
    .filter((tick) => room(tick) > ((tick.text.length + ending.length) * CHARACTER) / 2)
    .map(({ value, text }) => ({ value: value * size, text: text + ending }));
}

function rangeOfX(low: number | null, high: number | null, isTime: boolean, unit: number): uPlot.Range.MinMax {
  if (low === null || high === null) return [null, null];
  const [from, to] = widened(low / unit, high / unit, isTime ? TIME_LEAST : undefined);
  return [from * unit, to * unit];
}

function rangeOfY(low: number | null, high: number | null, log: boolean): uPlot.Range.MinMax {
  if (low === null || high === null) return [null, null];
  const unit = unitOfY(log);
  const [from, to] = (log ? paddedLog : padded)(low / unit, high / unit);
  return [from * unit, to * unit];
}

function unitOf(seconds: number): [number, string] {
  if (seconds < 120) return [1, "s"];
  return seconds < 7200 ? [60, "min"] : [3600, "h"];
}

/** Mark what is no number: at the lower edge NaN and −∞, at the upper one ∞. */
export function drawMarks(
  plot: uPlot,
  lines: readonly Line[],
  drawn: readonly Drawn[],
  hidden: ReadonlySet<string>,
  unit: number,
): void {
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
      const x = plot.valToPos(mark.x * unit, "x", true);
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
