/**
 * The canvases of a chart: one with its axes and lines, and one over it for what moves with the mouse.
 *
 * The browser puts every canvas of a page together anew for each frame: so there are no more, and the one over the other is
 * shown only while there is something on it.
 */

import type { Axes } from "./axes";
import { pixelOfX, xOfPixel } from "./axes";
import { dot, type Ink, paint, paintActive } from "./paint";
import { CanvasPen } from "./pen";
import { placeAt, type Trace } from "./trace";

export interface Scene {
  axes: Axes;
  traces: readonly Trace[];
  width: number;
  height: number;
}

/** Of more lines no points are shown at the cursor: they would hide the chart. */
const DOTS_MAX = 40;
const REACH = 8;

/** How much is seen of the ground over all lines while one of them stands out. */
const VEIL = 0.8;

export class Surface {
  private scene: Scene | null = null;

  constructor(
    private readonly base: HTMLCanvasElement,
    private readonly over: HTMLCanvasElement,
  ) {}

  /** Draw the chart. */
  show(scene: Scene | null): void {
    this.scene = scene;
    const context = cleared(this.base, scene);
    if (!scene || !context) return;
    paint(new CanvasPen(context), scene.axes, scene.traces, inks());
  }

  /**
   * Mark a place on the x axis, and have a trace stand out: the others step back behind a veil, and are not drawn again.
   *
   * @param x Null for none.
   * @param active The trace's key; null for none.
   */
  mark(x: number | null, active: string | null): void {
    const { scene } = this;
    const found = scene && active !== null ? scene.traces.filter((trace) => trace.key === active) : [];
    const isShown = scene !== null && (found.length > 0 || x !== null);
    this.over.style.display = isShown ? "" : "none";
    if (!isShown) return;
    const context = cleared(this.over, scene);
    if (!context) return;
    const pen = new CanvasPen(context);
    if (found.length) {
      const { left, top, width, height } = scene.axes.box;
      const [right, bottom] = [left + width, top + height];
      pen.fill(Float64Array.of(left, top, right, top, right, bottom, left, bottom), inks().ground, VEIL);
      paintActive(pen, scene.axes, found);
    }
    if (x !== null) this.cursor(pen, scene, x, active);
  }

  private cursor(pen: CanvasPen, { axes, traces }: Scene, x: number, active: string | null): void {
    const left = pixelOfX(axes, x);
    const { box } = axes;
    if (!(left >= box.left && left <= box.left + box.width)) return;
    pen.line(Float64Array.of(left, box.top, left, box.top + box.height), { color: inks().ink, width: 1, alpha: 0.6 });
    const reach = Math.abs(xOfPixel(axes, left + REACH) - x);
    const dotted = active !== null || traces.length > DOTS_MAX ? traces.filter((trace) => trace.key === active) : traces;
    pen.within({ ...box, left: box.left - 4, width: box.width + 8 }, () => {
      for (const trace of dotted) {
        const place = placeAt(trace, x, reach);
        if (place !== null) dot(pen, axes, trace, place, 1, trace.key === active ? 4.5 : 3);
      }
    });
  }
}

interface Inks extends Ink {
  ground: string;
}

/** As they were read last, and of which theme: to read them costs more than a line. */
let known: { theme: string | undefined; inks: Inks } | null = null;

/** The colours of axes, as the theme has them. */
export function inks(): Inks {
  const { theme } = document.documentElement.dataset;
  if (known && known.theme === theme) return known.inks;
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  known = { theme, inks: { ink: of("--muted"), grid: of("--grid"), ground: of("--surface") } };
  return known.inks;
}

/** An empty canvas of the scene's size, in the pixels of the screen. */
function cleared(canvas: HTMLCanvasElement, scene: Scene | null): CanvasRenderingContext2D | null {
  const ratio = devicePixelRatio;
  const context = canvas.getContext("2d");
  if (!context) return null;
  const [width, height] = [Math.round((scene?.width ?? 0) * ratio), Math.round((scene?.height ?? 0) * ratio)];
  if (scene && (canvas.width !== width || canvas.height !== height)) {
    canvas.width = width;
    canvas.height = height;
    canvas.style.width = `${scene.width}px`;
    canvas.style.height = `${scene.height}px`;
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
