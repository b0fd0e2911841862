/** One chart: fetches its lines when it is in sight, goes on with them while a run does, and lets people look closer. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

import { isAbort } from "../api/client";
import { useLoad } from "../state/poll";
import { theme } from "../state/theme";
import { several } from "../ui/format";
import { plain } from "../ui/terminal";
import { ChartTable } from "./ChartTable";
import { Legend } from "./Legend";
import { beginningOf, type Line, type Lines, loadLines, type Window } from "./load";
import { drawMarks, keyed, plotData, plotOptions, unitOfX, xText } from "./plot";
import { saveCsv, savePng } from "./save";
import { drawn as draw, type Drawn, ofSingle } from "./series";
import { Tooltip, type Told, tell } from "./Tooltip";

export type { Line } from "./load";

export interface ChartProps {
  title: string;
  /** What is told of the title, where the rest is said above. */
  shortTitle?: string;
  /** What must be known of it, below its title. */
  note?: string | null;
  lines: readonly Line[];
  /** "index", "time", "relative" (time since the first start), or a field of the metric. */
  x: string;
  /** 0 to below 1. */
  smoothing: number;
  log: boolean;
  range: readonly [number, number] | null;
  onRange: (range: [number, number] | null) => void;
  /** Charts with the same key move their cursors together. */
  syncKey?: string;
  height?: number;
  /** Changes when the experiment has more rows: what is new is asked for then. */
  revision?: number;
  /** Called when there are no numbers in any line. */
  onEmpty?: () => void;
  /** Enlarges the chart, or makes it small again. */
  onEnlarge?: () => void;
}

/** Pixels of a chart, as in the workspace. */
const HEIGHT = 168;
const [WIDTH_MIN, WIDTH_MAX] = [192, 1216];
/** Lines are asked for in such steps of pixels: a chart that becomes a little wider needs no others. */
const WIDTH_STEP = 64;
const SETTLE = 100;
const NO_LINES: Lines["data"] = new Map();

export function Chart(props: ChartProps): JSX.Element {
  const { lines, x, smoothing, log, range, height = HEIGHT } = props;
  const box = useRef<HTMLDivElement>(null);
  const target = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  /** When what is drawn next was asked for; null where it was drawn. */
  const asked = useRef<number | null>(null);
  const [width, setWidth] = useState(0);
  const [visible, setVisible] = useState(false);
  const [loaded, setLoaded] = useState<Lines | null>(null);
  const [problem, setProblem] = useState("");
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [asTable, setAsTable] = useState(false);
  const [told, setTold] = useState<Told | null>(null);
  /** How much of the rows is there that are being saved; null where none are. */
  const [saved, setSaved] = useState<number | null>(null);
  const saving = useRef<AbortController | null>(null);
  const relative = x === "relative";
  const axis = relative ? "time" : x;
  const stepped = Math.min(WIDTH_MAX, Math.max(WIDTH_MIN, Math.ceil(width / WIDTH_STEP) * WIDTH_STEP));
  const keys = lines.map((line) => `${line.key}:${line.experimentId}`).join("\n");
  const latest = useRef(loaded);
  latest.current = loaded;
  const data = loaded?.data ?? NO_LINES;
  // other lines than those that are there, as when another choice is made, are none without numbers
  const loading = loaded === null || (lines.length > 0 && !lines.some((line) => data.has(line.key)));

  useEffect(() => {
    const seen = new IntersectionObserver(([entry]) => setVisible(entry!.isIntersecting), { rootMargin: "200px" });
    const sized = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    seen.observe(box.current!);
    sized.observe(box.current!);
    return () => (seen.disconnect(), sized.disconnect());
  }, []);

  const window: Window = useMemo(
    () => ({ x, range, width: stepped, smoothing }),
    [x, range?.[0], range?.[1], stepped, smoothing],
  );

  /** Ask for the lines, or with those that are known for what is new, and take them in together. */
  async function load(known: Lines | null, signal: AbortSignal): Promise<void> {
    const found = await loadLines(lines, keys, window, known, signal);
    setLoaded(found);
    setProblem(found.problems.join("; "));
  }

  // The whole: when it first comes into sight, and when what is asked for changes.
  useLoad(
    async (signal) => {
      if (!visible || !width) return;
      const began = performance.now();
      await load(null, signal);
      asked.current = began;
    },
    [visible, width > 0, keys, window],
    { delay: loaded ? SETTLE : 0, onError: (error) => error && setProblem(error.message) },
  );

  // What is new: when the experiment has more rows.
  useLoad(
    async (signal) => {
      const known = latest.current;
      // else the whole is on its way
      if (!visible || known?.window !== window || known.keys !== keys) return;
      const began = performance.now();
      await load(known, signal);
      performance.measure("ml-dash:more", { start: began, detail: props.title });
    },
    [props.revision, keys, window],
  );

  const shown = useMemo(() => lines.filter((line) => data.has(line.key)), [keys, data, lines]);
  const drawn: Drawn[] = useMemo(
    () => shown.map((line) => draw(data.get(line.key)!, log)),
    [shown, data, log],
  );
  const unit = useMemo(() => unitOfX(drawn), [drawn]);
  const empty = !loading && drawn.every((line) => !line.x.length);
  useEffect(() => {
    if (empty && !range) props.onEmpty?.();
  }, [empty, range === null]);
  const left = drawn.reduce((sum, line) => sum + line.left, 0);
  const ready = !empty && !loading && !asTable && width > 0;
  const current = useRef({ shown, drawn, hidden, smooths: smoothing > 0, unit });
  current.current = { shown, drawn, hidden, smooths: smoothing > 0, unit };

  useEffect(() => {
    if (!ready || !target.current) return;
    const options = plotOptions({
      lines: shown,
      hidden,
      log,
      smoothing,
      x: axis,
      relative,
      // what moves along must count x alike
      syncKey: unit === 1 ? props.syncKey : undefined,
      unit,
      title: titleOfX(x),
      width,
      height,
      onRange: props.onRange,
      onCursor: (moved) => setTold(tell(moved, current.current)),
      onMarks: (moved) => {
        drawMarks(moved, current.current.shown, current.current.drawn, current.current.hidden, unit);
        if (asked.current !== null) performance.measure("ml-dash:chart", { start: asked.current, detail: props.title });
        asked.current = null;
      },
    });
    plot.current = new uPlot(options, plotData(drawn, log, unit), target.current);
    limit(plot.current, range, unit);
    return () => {
      plot.current?.destroy();
      plot.current = null;
      setTold(null);
    };
  }, [ready, shown.length, keys, hidden, log, smoothing, axis, relative, width, height, theme.value, props.syncKey, unit]);

  useEffect(() => {
    if (!plot.current) return;
    plot.current.setData(plotData(drawn, log, unit), !range);
    limit(plot.current, range, unit);
  }, [drawn, unit, range?.[0], range?.[1]]);

  function onKey(event: KeyboardEvent): void {
    const scale = plot.current?.scales.x;
    if (scale?.min == null || scale.max == null || event.ctrlKey || event.metaKey) return;
    const next = keyed(event.key, [scale.min / unit, scale.max / unit]);
    if (next === undefined) return;
    event.preventDefault();
    props.onRange(next);
  }

  /** Save the rows of what is shown; once more, give that up. */
  async function saveRows(): Promise<void> {
    if (saving.current) return saving.current.abort();
    const end = new AbortController();
    saving.current = end;
    setSaved(0);
    const chosen = lines.filter((line) => !hidden.has(line.key));
    try {
      const needed = range && relative ? chosen : [];
      const begins = new Map(await Promise.all(needed.map(async (line) => [line, await beginningOf(line, end.signal)] as const)));
      const table = { title: props.title, x, range, originOf: (line: Line) => begins.get(line) ?? 0 };
      await saveCsv(chosen, table, end.signal, setSaved);
    } catch (error) {
      if (!isAbort(error)) setProblem((error as Error).message);
    }
    saving.current = null;
    setSaved(null);
  }
  useEffect(() => () => saving.current?.abort(), []);

  const summary = shown.map((line, at) => `${line.label}: ${lastText(drawn[at]!)}`).join("; ");
  return (
    <figure class="chart" ref={box} data-chart={props.title}>
      <figcaption>
        <span class="chart-title" title={props.title}>
          {plain(props.shortTitle ?? props.title)}
        </span>
        <span class="chart-tools">
          {range && (
            <button type="button" class="quiet" onClick={() => props.onRange(null)}>
              All
            </button>
          )}
          <button type="button" class="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            Table
          </button>
          <button type="button" class="quiet" onClick={() => plot.current && savePng(plot.current, props.title)}>
            PNG
          </button>
          <button
            type="button"
            class="quiet"
            title={saved === null ? "All rows, as they were logged" : "Give up"}
            onClick={() => void saveRows()}
          >
            {saved === null ? "CSV" : `CSV ${Math.floor(saved * 100)} %`}
          </button>
          {props.onEnlarge && (
            <button type="button" class="quiet" aria-label={`Enlarge ${props.title}`} onClick={props.onEnlarge}>
              ⤢
            </button>
          )}
        </span>
      </figcaption>
      {props.note && <p class="chart-under">{props.note}</p>}
      {problem && <p class="problem">{problem}</p>}
      {loading && !problem && <div class="chart-wait" style={{ height: `${height}px` }} />}
      {empty && <p class="chart-none">There are no numbers {range ? "in this range" : "in this field"}.</p>}
      {asTable && !empty && <ChartTable x={x} lines={shown} drawn={drawn} />}
      {ready && (
        <div class="chart-area">
          <div
            ref={target}
            class="chart-plot"
            style={{ height: `${height}px` }}
            role="img"
            tabIndex={0}
            aria-label={`Chart of ${props.title}. ${summary}`}
            onKeyDown={onKey}
          />
          {titleOfX(x) && <span class="plot-axis">{titleOfX(x)}</span>}
          {told && <Tooltip told={told} x={(value) => xText(value, { x: axis, relative })} />}
        </div>
      )}
      {left > 0 && <p class="chart-note">A logarithmic axis leaves out {several(left, "value")} not above 0.</p>}
      {lines.length > 1 && <Legend lines={lines} hidden={hidden} onHide={setHidden} />}
    </figure>
  );
}

/** What x is called behind its ticks; times say what they are. */
function titleOfX(x: string): string {
  return x === "relative" || x === "time" ? "" : x === "index" ? "row" : x;
}

function limit(plot: uPlot, range: readonly [number, number] | null, unit: number): void {
  if (range) plot.setScale("x", { min: range[0] * unit, max: range[1] * unit });
}

function lastText(line: Drawn): string {
  const last = line.raw.findLast((value) => value !== null);
  return last === undefined || last === null ? "no number" : `last ${line.isSingle ? ofSingle(last) : last}`;
}
