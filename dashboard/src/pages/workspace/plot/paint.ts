/** Drawing a chart: axes, bands, lines, marks; the same on a canvas and as SVG. */

import { type Axes, inPixels, pixelOfX, pixelOfY } from "./axes";
import type { Pen } from "./pen";
import type { Trace } from "./trace";

export interface Ink {
  ink: string;
  grid: string;
}

const [WIDTH, ACTIVE_WIDTH, THIN] = [1.5, 2.75, 0.75];
/** How much is seen of the raw line behind a smooth one, of a band, and of a member of a group. */
const [BEHIND, BAND, THIN_ALPHA] = [0.2, 0.14, 0.7];
const TICK_SIZE = 10.5;
const MARK = 4.5;

/** A chart as a whole. */
export function paint(pen: Pen, axes: Axes, traces: readonly Trace[], ink: Ink): void {
  paintAxes(pen, axes, ink);
  paintTraces(pen, axes, traces, WIDTH);
}

/** Some of its lines, over all others, where they stand out. */
export function paintActive(pen: Pen, axes: Axes, traces: readonly Trace[]): void {
  paintTraces(pen, axes, traces, ACTIVE_WIDTH);
}

function paintTraces(pen: Pen, axes: Axes, traces: readonly Trace[], width = WIDTH): void {
  pen.within(axes.box, () => {
    for (const trace of traces) paintTrace(pen, axes, trace, width);
  });
  for (const trace of traces) paintMarks(pen, axes, trace);
}

function paintAxes(pen: Pen, axes: Axes, { ink, grid }: Ink): void {
  const { box, xTicks, yTicks, xEnd } = axes;
  const bottom = box.top + box.height;
  for (const tick of yTicks) {
    const y = Math.round(pixelOfY(axes, tick.value)) + 0.5;
    pen.line(Float64Array.of(box.left, y, box.left + box.width, y), { color: grid, width: 1, alpha: 1 });
    pen.text(tick.text, box.left - 6, y, { color: ink, size: TICK_SIZE, align: "right" });
  }
  for (const tick of xTicks) {
    const x = pixelOfX(axes, tick.value);
    if (x + tick.text.length * 3 > xEnd) continue;
    pen.line(Float64Array.of(x, bottom, x, bottom + 3), { color: grid, width: 1, alpha: 1 });
    pen.text(tick.text, x, bottom + 11, { color: ink, size: TICK_SIZE, align: "center" });
  }
}

function paintTrace(pen: Pen, axes: Axes, trace: Trace, width: number): void {
  const { color } = trace;
  const thin = { width: width - WIDTH + THIN, alpha: THIN_ALPHA };
  const stroke = { color, ...(trace.isThin ? thin : { width, alpha: 1 }), ...(trace.dash ? { dash: trace.dash } : {}) };
  if (trace.band) pen.fill(surrounding(axes, trace.band), color, BAND);
  if (trace.smooth) pen.line(inPixels(axes, trace.raw), { color, width: 1, alpha: BEHIND });
  pen.line(inPixels(axes, trace.smooth ?? trace.raw), stroke);
  for (const place of alone(trace)) dot(pen, axes, trace, place, 1);
}

/** Points with no neighbour, of which no line would be seen. */
function alone({ points: { y } }: Trace): number[] {
  const isThere = (at: number): boolean => at >= 0 && at < y.length && !Number.isNaN(y[at]);
  const found: number[] = [];
  for (let at = 0; at < y.length; at++) if (isThere(at) && !isThere(at - 1) && !isThere(at + 1)) found.push(at);
  return found;
}

export function dot(pen: Pen, axes: Axes, trace: Trace, place: number, alpha: number, radius = 2.5): void {
  const { x, y, smooth } = trace.points;
  const [left, top] = [pixelOfX(axes, x[place]!), pixelOfY(axes, (smooth ?? y)[place]!)];
  const ring = new Float64Array(24);
  for (let at = 0; at < 12; at++) {
    const angle = (at * Math.PI) / 6;
    ring[2 * at] = left + radius * Math.cos(angle);
    ring[2 * at + 1] = top + radius * Math.sin(angle);
  }
  pen.fill(ring, trace.color, alpha);
}

/** The outline of a band: along its upper edge, and back along its lower one. */
function surrounding(axes: Axes, band: Float64Array): Float64Array {
  const count = band.length / 3;
  const path = new Float64Array(4 * count);
  for (let at = 0; at < count; at++) {
    const x = pixelOfX(axes, band[3 * at]!);
    const back = 2 * (2 * count - 1 - at);
    path[2 * at] = x;
    path[2 * at + 1] = pixelOfY(axes, band[3 * at + 2]!);
    path[back] = x;
    path[back + 1] = pixelOfY(axes, band[3 * at + 1]!);
  }
  return path;
}

/** What is no number stands at the edge: NaN and −∞ below, ∞ above. */
function paintMarks(pen: Pen, axes: Axes, trace: Trace): void {
  const { box } = axes;
  for (const mark of trace.marks) {
    const x = pixelOfX(axes, mark.x);
    if (!(x >= box.left && x <= box.left + box.width)) continue;
    const edge = mark.kind === "∞" ? box.top : box.top + box.height;
    const tip = mark.kind === "∞" ? edge + 2 * MARK : edge - 2 * MARK;
    if (mark.kind === "NaN") {
      const cross = Float64Array.of(x - MARK / 2, tip, x + MARK / 2, edge - MARK, x, Number.NaN, x + MARK / 2, tip, x - MARK / 2, edge - MARK);
      pen.line(cross, { color: trace.color, width: 1.5, alpha: 1 });
    } else pen.fill(Float64Array.of(x - MARK / 2, tip, x + MARK / 2, tip, x, edge), trace.color, 1);
  }
}
