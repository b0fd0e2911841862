/** Histograms over steps, as a heatmap or as ridges. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { contentUrl, getText } from "../../../api/client";
import { parsePython } from "../../../api/json";
import { useLoad } from "../../../state/poll";
import { theme } from "../../../state/theme";
import { whole } from "../../../ui/format";
import { histogramOf, type MediaItem, type MediaSeries } from "../../experiment/media";
import { short } from "../plot/read";
import { view } from "../view";
import { type Column, COLUMNS_MAX, endsOf, HEIGHT, paintHeat, paintRidges, spreadOver, WIDTH } from "./distribution";

const AT_ONCE = 6;
const DIGITS = 4;

export function Distribution(props: { series: MediaSeries; run: string; step: number }): JSX.Element {
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
  const isRidges = view.value.histograms === "ridges";
  const paint = isRidges ? paintRidges : paintHeat;
  useEffect(() => {
    if (canvas.current && ends) paint(canvas.current.getContext("2d")!, columns, ends, step, theme.value);
  }, [columns, step, theme.value, isRidges]);
  if (problem) return <p class="problem">{problem}</p>;
  return (
    <figure class="heat" aria-label={`Histograms of ${whole(series.items.length)} steps`}>
      <canvas ref={canvas} width={WIDTH} height={HEIGHT} role="img" aria-label={`${isRidges ? "Ridges" : "Histograms"} of ${series.title} over steps`} />
      {ends && (
        <figcaption class="muted">
          {short(ends[0], DIGITS)} … {short(ends[1], DIGITS)}
          {isRidges && columns.length > 1 && `, step ${whole(columns[0]!.step)} behind, ${whole(columns.at(-1)!.step)} in front`}
        </figcaption>
      )}
    </figure>
  );
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
