/** Histograms over steps: a column for each step, from the lowest value to the highest, the darker the more there are. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { contentUrl, getText } from "../../../api/client";
import { parsePython } from "../../../api/json";
import { useLoad } from "../../../state/poll";
import { theme } from "../../../state/theme";
import { whole } from "../../../ui/format";
import { type Histogram, histogramOf, type MediaItem, type MediaSeries } from "../../experiment/media";
import { scaleColor } from "../colors";
import { short } from "../plot/read";

const [WIDTH, HEIGHT] = [320, 140];
/** Of more steps so many are taken, as far apart as one another. */
const COLUMNS_MAX = 80;
const AT_ONCE = 6;
const DIGITS = 4;

interface Column {
  step: number;
  histogram: Histogram;
}

export function Heat(props: { series: MediaSeries; run: string; step: number }): JSX.Element {
  const { series, run, step } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [columns, setColumns] = useState<readonly Column[]>([]);
  const [problem, setProblem] = useState("");
  useLoad(
    async (signal) => setColumns(await read(spreadOver(series.items, COLUMNS_MAX), run, signal)),
    [run, series.title, series.items.length],
    { onError: (error) => setProblem(error?.message ?? "") },
  );
  const ends = endsOf(columns);
  useEffect(() => {
    if (canvas.current && ends) draw(canvas.current, columns, ends, step);
  }, [columns, step, theme.value]);
  if (problem) return <p class="problem">{problem}</p>;
  return (
    <figure class="heat" aria-label={`Histograms of ${whole(series.items.length)} steps`}>
      <canvas ref={canvas} width={WIDTH} height={HEIGHT} role="img" aria-label={`Histograms of ${series.title} over steps`} />
      {ends && (
        <figcaption class="muted">
          {short(ends[0], DIGITS)} … {short(ends[1], DIGITS)}
        </figcaption>
      )}
    </figure>
  );
}

export function spreadOver<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items];
  return Array.from({ length: most }, (_, at) => items[Math.round((at * (items.length - 1)) / (most - 1))]!);
}

async function read(items: readonly MediaItem[], run: string, signal: AbortSignal): Promise<Column[]> {
  const found: Column[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE) {
    const some = items.slice(start, start + AT_ONCE).filter((item) => item.row.available);
    const values = await Promise.all(some.map(async (item) => parsePython(await getText(contentUrl(run, item.row.id), signal))));
    some.forEach((item, at) => {
      const histogram = histogramOf(values[at]);
      if (histogram?.counts.length) found.push({ step: item.step, histogram });
    });
  }
  return found;
}

function endsOf(columns: readonly Column[]): readonly [number, number] | null {
  if (!columns.length) return null;
  const edges = columns.map(({ histogram }) => histogram.edges);
  return [Math.min(...edges.map((each) => each[0]!)), Math.max(...edges.map((each) => each.at(-1)!))];
}

function draw(canvas: HTMLCanvasElement, columns: readonly Column[], [low, high]: readonly [number, number], chosen: number): void {
  const context = canvas.getContext("2d")!;
  context.clearRect(0, 0, WIDTH, HEIGHT);
  const width = WIDTH / columns.length;
  const top = (value: number): number => HEIGHT * (1 - (value - low) / (high - low || 1));
  columns.forEach(({ step, histogram: { counts, edges } }, at) => {
    // how many there are of a value, however wide its bin is
    const density = counts.map((count, bin) => count / (edges[bin + 1]! - edges[bin]! || 1));
    const most = Math.max(...density, Number.MIN_VALUE);
    density.forEach((each, bin) => {
      if (!each) return;
      context.fillStyle = scaleColor(Math.sqrt(each / most), theme.peek());
      context.fillRect(at * width, top(edges[bin + 1]!), Math.max(1, width - 0.5), Math.max(1, top(edges[bin]!) - top(edges[bin + 1]!)));
    });
    if (step !== chosen) return;
    context.strokeStyle = getComputedStyle(canvas).color;
    context.strokeRect(at * width + 0.5, 0.5, Math.max(2, width - 1), HEIGHT - 1);
  });
}
