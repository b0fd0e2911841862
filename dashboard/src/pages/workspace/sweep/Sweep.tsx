/** What the parameters of the drawn runs have to do with their results. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { experimentPath, navigate } from "../../../state/url";
import { theme } from "../../../state/theme";
import { now, Select } from "../../../ui/basic";
import { several } from "../../../ui/format";
import { nameIn } from "../runs";
import { AGGREGATES, type Aggregate, type Column, columnOf, differing, metricColumn, metricTitle, valueOf } from "../columns";
import { coloringOf } from "../coloring";
import { charts, colors, drawn, goal, metrics } from "../state";
import { show, view } from "../view";
import { Bars } from "./Bars";
import { Importance } from "./Importance";
import { Parallel } from "./Parallel";
import { type Point, Scatter, type Shown } from "./Scatter";

const DIMENSIONS_MAX = 8;

/** Whether there is anything to tell: several runs, a parameter that differs, and a result. */
export function hasSweep(): boolean {
  return drawn.value.length > 1 && goal.value !== null && differing(drawn.value).length > 0;
}

export function Sweep(): JSX.Element | null {
  const result = goal.value;
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const { by: chosen } = view.value;
  useEffect(() => {
    const sized = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    sized.observe(box.current!);
    return () => sized.disconnect();
  }, []);
  const all = differing(drawn.value);
  const params = dimensions(all, chosen);
  const of = Math.max(0, params.indexOf(chosen ?? ""));
  return (
    <div ref={box} class="sweep">
      {result?.kind === "metric" && (
        <div class="sweep-choice">
          <Goal column={result} />
          <Select
            label="by"
            value={params[of] ?? ""}
            options={all.map((name) => [name, name] as const)}
            onChange={(by) => show({ by })}
          />
          {params.length < all.length && <span class="note">{params.length} of {several(all.length, "parameter")} at once</span>}
        </div>
      )}
      {result && width > 0 && <Parts result={result} params={params} of={of} width={width} />}
    </div>
  );
}

/** The parameters that are shown at once: the first ones, and the one that was chosen. */
export function dimensions(all: readonly string[], chosen: string | null): string[] {
  const first = all.slice(0, DIMENSIONS_MAX);
  return chosen === null || first.includes(chosen) || !all.includes(chosen) ? first : [...first.slice(0, -1), chosen];
}

function Parts(props: { result: Column; params: readonly string[]; of: number; width: number }): JSX.Element {
  const { result, params, of, width } = props;
  const { folder } = view.value;
  const points = drawn.value.map((run): Point => ({
    id: run.id,
    label: nameIn(run, folder),
    color: colors.value.get(run.id) ?? "#888888",
    values: [...params.map((name) => run.params?.[name]), valueOf(result, run, now.peek())],
  }));
  const open = (id: string): void => {
    const run = drawn.peek().find((each) => each.id === id);
    if (run) navigate(experimentPath(run.prefix));
  };
  const isWide = width > 760;
  const half = isWide ? Math.floor(width / 2) : width;
  const shown = (room: number): Shown => ({ points, names: [...params, titleOf(result)], width: room - 26, onOpen: open });
  // by its result each line can be followed with the eye, which no forty colours can
  const scale = view.value.color === null ? coloringOf(result, drawn.value, theme.value, now.peek(), true) : null;
  const along = scale ? points.map((point, at) => ({ ...point, color: scale.colorOf(drawn.value[at]!) })) : points;
  return (
    <div class="sweep-parts" style={{ gridTemplateColumns: isWide ? "minmax(0, 1fr) minmax(0, 1fr)" : "minmax(0, 1fr)" }}>
      <figure class="tile sweep-whole">
        <figcaption class="tile-head tile-title">Parallel coordinates</figcaption>
        <Parallel {...shown(width)} points={along} scale={scale?.isScale ? scale.legend.map(([, color]) => color) : null} />
      </figure>
      {result.kind === "metric" && (
        <figure class="tile">
          <figcaption class="tile-head tile-title">What matters for {titleOf(result)}</figcaption>
          <Importance column={result} />
        </figure>
      )}
      <figure class="tile">
        <figcaption class="tile-head tile-title">
          {titleOf(result)} by {params[of]}
        </figcaption>
        <Scatter {...shown(half)} of={of} />
      </figure>
      <figure class="tile sweep-whole">
        <figcaption class="tile-head tile-title">{titleOf(result)} of each run</figcaption>
        <Bars {...shown(width)} ascends={result.kind === "metric" && result.aggregate === "min"} />
      </figure>
    </div>
  );
}

function titleOf(column: Column): string {
  return column.kind === "metric" ? `${column.metric.field}${column.aggregate === "last" ? "" : ` (${column.aggregate})`}` : column.title;
}

/** The result: which metric, and which value of it. */
function Goal({ column }: { column: Extract<Column, { kind: "metric" }> }): JSX.Element {
  const choose = (title: string, aggregate: Aggregate): void => {
    const found = columnOf(`${aggregate}("${title.replace(/[\\"]/g, "\\$&")}")`, metrics.peek());
    if (found?.kind === "metric") show({ goal: metricColumn(found.metric, aggregate).key });
  };
  const chosen = charts.value.find((chart) => chart.title === metricTitle(column.metric));
  return (
    <>
      <Select label="Result" value={column.aggregate} options={AGGREGATES.map((each) => [each, each] as const)} onChange={(next) => choose(chosen?.title ?? "", next)} />
      <Select
        label="of"
        value={chosen?.title ?? ""}
        options={charts.value.map((chart) => [chart.title, chart.title] as const)}
        onChange={(title) => choose(title, column.aggregate)}
      />
    </>
  );
}
