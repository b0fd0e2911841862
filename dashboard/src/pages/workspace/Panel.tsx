/** A chart of the workspace: one field of a metric, a line for each run that is drawn. */

import { useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import { keyed } from "../../charts/plot";
import { printing } from "../../state/printing";
import { theme } from "../../state/theme";
import { whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { curves } from "./curves";
import { cursor, hovered } from "./hover";
import { askFor, lackOf, linesOf, type Shown, traceFor } from "./lines";
import { Resize, type Size } from "./panel/Resize";
import { above, type Bounds, changedIn, PLAIN } from "./panel/settings";
import { SettingsMenu } from "./panel/SettingsMenu";
import { Tools } from "./panel/Tools";
import { preparing } from "./paper";
import { type Axes, axesFor, xOfPixel, yOfPixel } from "./plot/axes";
import { lastTold, nearest, readings } from "./plot/read";
import { type Scene, Surface } from "./plot/surface";
import { inTurn, outOfTurn } from "./plot/turns";
import type { Trace } from "./plot/trace";
import { axisOf, axisTitle, type ChartOf } from "./sections";
import { chosenX, markEmpty } from "./state";
import { tip, type Told } from "./Tip";
import { type Range, show, view, zoomTo } from "./view";

/** Pixels that the mouse moves before it is a selection. */
const DRAGGED = 4;
const [STEP, SETTLE] = [1.2, 150];

interface Drag {
  from: { left: number; top: number };
  to: { left: number; top: number };
  /** With Shift: the chart is moved along. */
  pans: boolean;
}

export function Panel(props: {
  chart: ChartOf;
  title: string;
  /** That of a chart that has none of its own. */
  height: number;
  /** Charts that stand side by side; null where this one stands alone. */
  columns: number | null;
}): JSX.Element {
  const { chart } = props;
  const id = useId();
  const box = useRef<HTMLElement>(null);
  const [base, over] = [useRef<HTMLCanvasElement>(null), useRef<HTMLCanvasElement>(null)];
  const surface = useRef<Surface | null>(null);
  const [width, setWidth] = useState(0);
  const [isInSight, setInSight] = useState(false);
  // or drawn for paper, on which it will be
  const isSeen = isInSight || preparing.value;
  const [version, setVersion] = useState(0);
  const [yRange, setYRange] = useState<Range | null>(null);
  const [moving, setMoving] = useState<Range | null>(null);
  const [drag, setDrag] = useState<Drag | null>(null);
  const [sizing, setSizing] = useState<Size | null>(null);

  const { smoothing, zoom, settings } = view.value;
  const own = settings.get(chart.title) ?? PLAIN;
  const [logX, logY] = [own.logX ?? view.value.logX, own.logY ?? view.value.log];
  const axis = own.x ?? axisOf(chosenX.value, chart);
  const zoomed = moving ?? zoom.get(axis) ?? null;
  const range: Bounds | null = zoomed ?? own.xRange;
  const lines = linesOf(chart);
  // while it is moved, what is there is drawn: what lies beyond is asked for when it has come to rest
  const asked = zoom.get(axis) ?? (own.xRange && ([own.xRange[0], own.xRange[1] === null ? null : above(own.xRange[1])] as const));
  const smooth = own.smooth ?? ({ kind: "ema", amount: smoothing } as const);
  const shown: Shown = { axis, range: asked, width, smooth: smooth.amount ? smooth : null };
  const asks = isSeen && width ? lines.map((line) => askFor(line, shown)) : [];
  const size: Size = {
    columns: Math.min(sizing?.columns ?? own.columns, props.columns ?? 1),
    height: props.columns === null ? props.height : (sizing?.height ?? own.height ?? props.height),
  };
  const { height } = size;
  const said = JSON.stringify(asks);

  useEffect(() => {
    const seen = new IntersectionObserver(([entry]) => setInSight(entry!.isIntersecting), { rootMargin: "150px" });
    const sized = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    const plot = box.current!.querySelector(".plot")!;
    seen.observe(plot);
    sized.observe(plot);
    return () => (seen.disconnect(), sized.disconnect());
  }, []);
  // of charts that nobody sees there are no canvases: the browser would put all of them together for each frame
  useLayoutEffect(() => {
    surface.current = isSeen ? new Surface(base.current!, over.current!) : null;
  }, [isSeen]);
  useEffect(() => {
    if (asks.length) curves.want(id, asks, () => setVersion((before) => before + 1));
    else curves.drop(id);
  }, [said]);
  useEffect(() => () => (curves.drop(id), outOfTurn(id)), []);

  const traces = useMemo(
    () => asks.flatMap((ask, at) => traceFor(lines[at]!, ask) ?? []),
    [version, said, JSON.stringify(lines.map((line) => line.of))],
  );
  const scene = useMemo((): Scene | null => {
    if (!width) return null;
    const axes = axesFor(traces, { width, height, x: axis, logX, logY, xRange: range, yRange: yRange ?? own.yRange, cut: own.cut, title: axisTitle(axis) });
    return axes && { axes, traces, width, height };
  }, [traces, width, height, axis, logX, logY, range?.[0], range?.[1], yRange, own.yRange?.[0], own.yRange?.[1], own.cut]);
  useLayoutEffect(() => {
    // an effect would come when the page is on paper already
    if (printing.value) surface.current?.show(scene);
  }, [scene, printing.value]);
  useEffect(() => {
    inTurn(id, () => {
      surface.current?.show(scene);
      surface.current?.mark(null, hovered.peek());
      if (scene && traces.length) performance.mark("ml-dash:chart", { detail: chart.title });
    });
  }, [scene, theme.value]);
  // the cursor is the same in all charts of one x, and in no others
  const along = useRef(axis);
  along.current = axis;
  useSignalEffect(() => {
    const at = cursor.value;
    surface.current?.mark(at && at.axis === along.current ? at.x : null, hovered.value);
  });

  function placeOf(event: MouseEvent): { left: number; top: number } {
    const { left, top } = base.current!.getBoundingClientRect();
    return { left: event.clientX - left, top: event.clientY - top };
  }

  function read(event: MouseEvent, pins = false): void {
    if (!scene) return;
    const { left, top } = placeOf(event);
    const { axes } = scene;
    const isIn = left >= axes.box.left && left <= axes.box.left + axes.box.width;
    if (!isIn) return leave();
    const x = xOfPixel(axes, left);
    const told = { panel: id, x, down: top, left: event.clientX, top: event.clientY, axis, axes, ...readAt(axes, x, top), pinned: pins };
    cursor.value = { axis, x, chart: chart.title };
    if (hovered.peek() !== told.active) hovered.value = told.active;
    tip.value = told;
  }

  function readAt(axes: Axes, x: number, down: number): Pick<Told, "found" | "active"> {
    const found = readings(traces, axes, x, down);
    return { found, active: nearest(found)?.key ?? null };
  }

  // what is told at the mouse, or was pinned, is told of the lines that have come since, too
  useEffect(() => {
    const told = tip.peek();
    if (!scene || told?.panel !== id || told.axis !== axis) return;
    const { axes } = scene;
    if (axes.x[0] <= told.x && told.x <= axes.x[1]) tip.value = { ...told, axes, ...readAt(axes, told.x, told.down) };
  }, [scene]);

  function leave(): void {
    cursor.value = null;
    hovered.value = null;
    if (!tip.peek()?.pinned) tip.value = null;
  }

  function onMove(event: JSX.TargetedPointerEvent<HTMLElement>): void {
    if (!drag) {
      if (!tip.peek()?.pinned) read(event);
      return;
    }
    const to = placeOf(event);
    setDrag({ ...drag, to });
    if (drag.pans && scene) setMoving(panned(scene, drag.from.left - to.left));
  }

  function onDown(event: JSX.TargetedPointerEvent<HTMLElement>): void {
    if (event.button !== 0 || !scene || event.pointerType === "touch") return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const from = placeOf(event);
    setDrag({ from, to: from, pans: event.shiftKey });
  }

  function onUp(event: JSX.TargetedPointerEvent<HTMLElement>): void {
    if (!drag || !scene) return;
    setDrag(null);
    const [across, down] = [Math.abs(drag.to.left - drag.from.left), Math.abs(drag.to.top - drag.from.top)];
    if (drag.pans) settle(moving);
    else if (across < DRAGGED && down < DRAGGED) read(event, !tip.peek()?.pinned);
    else if (across >= down) select(xOfPixel(scene.axes, drag.from.left), xOfPixel(scene.axes, drag.to.left), (found) => zoomTo(axis, found));
    else select(yOfPixel(scene.axes, drag.from.top), yOfPixel(scene.axes, drag.to.top), setYRange);
  }

  function settle(next: Range | null): void {
    setMoving(null);
    if (next) zoomTo(axis, next);
  }

  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  function onWheel(event: WheelEvent): void {
    if (!(event.ctrlKey || event.metaKey) || !scene) return;
    event.preventDefault();
    const [low, high] = scene.axes.x;
    const at = xOfPixel(scene.axes, placeOf(event).left);
    const factor = event.deltaY < 0 ? 1 / STEP : STEP;
    const next: Range = [at - (at - low) * factor, at + (high - at) * factor];
    setMoving(next);
    if (timer.current !== null) clearTimeout(timer.current);
    timer.current = setTimeout(() => settle(next), SETTLE);
  }

  function showAll(): void {
    setYRange(null);
    zoomTo(axis, null);
  }

  function onKey(event: KeyboardEvent): void {
    if (!scene || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = keyed(event.key, scene.axes.x);
    if (next === undefined) return;
    event.preventDefault();
    if (next) zoomTo(axis, next);
    else showAll();
  }

  // of texts and the like there is no chart: that is known once all runs have answered
  const hasNothing = range === null && own.x === null && traces.length > 0 && traces.length === lines.length && traces.every(({ points }) => !points.x.length);
  useEffect(() => {
    if (hasNothing) markEmpty(chart.title);
  }, [hasNothing]);

  const lacking = scene && lackOf(lines, asks, axis);
  const isWaiting = isSeen && lines.length > 0 && !traces.length;
  const problem = traces.length ? undefined : asks.map((ask) => curves.problemOf(ask)).find(Boolean);
  return (
    <figure ref={box} class="tile" data-chart={chart.title} style={size.columns > 1 ? { gridColumn: `span ${size.columns}` } : {}}>
      <figcaption class="tile-head">
        <span class="tile-title" title={chart.title}>
          {plain(props.title)}
        </span>
        <Tools chart={chart} scene={scene} axis={axis} range={range} onShowAll={zoomed !== null || yRange !== null ? showAll : null}>
          <SettingsMenu chart={chart} settings={own} shown={scene && { axis, x: scene.axes.x, y: scene.axes.y }} />
        </Tools>
      </figcaption>
      <div
        class={`plot ${isWaiting && !problem ? "waiting" : ""}`}
        style={{ height: `${height}px` }}
        role="img"
        tabIndex={0}
        aria-label={`Chart of ${chart.title}. ${summary(traces)}`}
        onKeyDown={onKey}
        onPointerMove={onMove}
        onPointerLeave={leave}
        onPointerDown={onDown}
        onPointerUp={onUp}
        onDblClick={showAll}
        onWheel={onWheel}
      >
        {isSeen && <canvas ref={base} />}
        {isSeen && <canvas ref={over} />}
        {drag && !drag.pans && scene && <Selection drag={drag} scene={scene} />}
        {!isWaiting && !scene && isSeen && !problem && (
          <p class="plot-none">{lines.length ? `No numbers ${range ? "in this range" : "here"}${oddOnes(traces)}` : "None of the drawn runs has it"}</p>
        )}
        {problem && <p class="plot-none">{problem}</p>}
      </div>
      {lacking && (
        <span class="plot-lacking" title={lacking.of}>
          {lacking.text}
        </span>
      )}
      {scene && axisTitle(axis) && <span class={`plot-axis ${axis === chosenX.value ? "" : "other"}`}>{axisTitle(axis)}</span>}
      {props.columns !== null && (
        <Resize
          title={chart.title}
          size={size}
          most={props.columns}
          onMove={setSizing}
          onSize={(next) => {
            const change = next ? { columns: next.columns, height: next.height === props.height ? null : next.height } : { columns: 1, height: null };
            show({ settings: changedIn(view.peek().settings, chart.title, change) });
          }}
        />
      )}
    </figure>
  );
}

/** What is selected: a part of x, or, where the mouse goes upright, of y. */
function Selection({ drag, scene }: { drag: Drag; scene: Scene }): JSX.Element {
  const { box } = scene.axes;
  const [left, right] = [drag.from.left, drag.to.left].sort((a, b) => a - b) as [number, number];
  const [top, bottom] = [drag.from.top, drag.to.top].sort((a, b) => a - b) as [number, number];
  const isAcross = right - left >= bottom - top;
  const style = isAcross
    ? { left: `${left}px`, width: `${right - left}px`, top: `${box.top}px`, height: `${box.height}px` }
    : { left: `${box.left}px`, width: `${box.width}px`, top: `${top}px`, height: `${bottom - top}px` };
  return <div class="plot-selection" style={style} />;
}

function select(a: number, b: number, take: (range: Range) => void): void {
  if (a !== b) take(a < b ? [a, b] : [b, a]);
}

function panned({ axes }: Scene, pixels: number): Range {
  const by = ((axes.x[1] - axes.x[0]) * pixels) / axes.box.width;
  return [axes.x[0] + by, axes.x[1] + by];
}

/** What there is instead of numbers: ", but 3 × NaN". */
function oddOnes(traces: readonly Trace[]): string {
  const counts = new Map<string, number>();
  for (const { kind, count } of traces.flatMap(({ marks }) => marks)) counts.set(kind, (counts.get(kind) ?? 0) + count);
  const said = [...counts].map(([kind, count]) => `${whole(count)} × ${kind}`);
  return said.length ? `, but ${said.join(", ")}` : "";
}

const TOLD = 12;

/** The chart in words, for those who cannot see it. */
function summary(traces: readonly Trace[]): string {
  const told = traces.slice(0, TOLD).map((trace) => `${trace.label}: last ${lastTold(trace)}`);
  return [...told, ...(traces.length > TOLD ? [`and ${traces.length - TOLD} more`] : [])].join("; ");
}
