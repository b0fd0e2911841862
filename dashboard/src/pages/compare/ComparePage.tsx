/** Several runs on top of one another: their charts, their parameters, and parameters against results. */

import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";

import type { MetricField } from "../../api/types";
import { Chart } from "../../charts/Chart";
import { colorOf } from "../../charts/palette";
import { query, setQuery } from "../../state/url";
import { Empty, Link, Select } from "../../ui/basic";
import { several, whole } from "../../ui/format";
import { ChartControls, chartView, setRange } from "../experiment/ChartControls";
import { comparedLines } from "../experiment/attempts";
import { AXES, axes, axisOf } from "../experiment/groups";
import { metricTitle } from "../experiments/columns";
import { Parallel } from "./Parallel";
import { ParamTable } from "./ParamTable";
import { fieldsOf, paramRows, type Run, shortNames, useRuns } from "./runs";
import { Scatter } from "./Scatter";

const CHARTS_MAX = 60;
const DIMENSIONS_MAX = 10;
const ATTEMPTS = [
  ["newest", "the newest of each run"],
  ["all", "all"],
] as const;
/** What people look at first, where it is there. */
const RESULTS = /(eval|val|test).*(acc|loss)|acc|loss|reward|score/i;

export function ComparePage(): JSX.Element {
  const prefixes = query.value.getAll("e");
  const given = parseField(query.value.get("result"));
  const { runs, missing, loaded } = useRuns(prefixes, given ? [given] : []);
  const fields = useMemo(() => fieldsOf(runs), [runs]);
  const labels = useMemo(() => shortNames(runs.map((run) => run.record.prefix)), [runs]);
  const colors = runs.map((run) => colorOf(prefixes.indexOf(run.record.prefix)));
  useEffect(() => {
    document.title = "Compare · ML-Dash";
  }, []);

  if (!prefixes.length) {
    return (
      <Empty title="No experiments selected.">
        <p>
          Select experiments in <Link href="/">the list</Link>, then press Compare.
        </p>
      </Empty>
    );
  }
  if (!loaded) return <p class="loading">Loading…</p>;
  const leave = (prefix: string): void => setQuery({ e: prefixes.filter((each) => each !== prefix) });
  return (
    <div class="compare-page">
      <h1>Compare {several(runs.length, "run")}</h1>
      {missing.map((prefix) => (
        <p key={prefix} class="problem">
          Experiment {prefix} does not exist, or you do not have access to it.{" "}
          <button type="button" class="quiet" onClick={() => leave(prefix)}>
            Remove
          </button>
        </p>
      ))}
      <ParamTable runs={runs} labels={labels} colors={colors} result={given && metricTitle(given)} onRemove={leave} />
      <Results runs={runs} labels={labels} colors={colors} fields={fields} chosen={given} />
      <Overlays runs={runs} labels={labels} colors={colors} fields={fields} />
    </div>
  );
}

interface Compared {
  runs: readonly Run[];
  labels: readonly string[];
  colors: readonly string[];
  fields: readonly (MetricField & { fields: string[] })[];
}

/** Parameters against the last value of a metric. */
function Results(props: Compared & { chosen: MetricField | null }): JSX.Element | null {
  const { runs, labels, colors, fields, chosen } = props;
  const usable = fields.filter((each) => !AXES.includes(each.field));
  const rows = paramRows(runs).filter((row) => row.differs);
  const named = query.value.get("param") ?? rows[0]?.name;
  const row = rows.find((each) => each.name === named);
  useEffect(() => {
    const first = usable.find((each) => RESULTS.test(metricTitle(each))) ?? usable[0];
    if (!chosen && first) setQuery({ result: writeField(first) });
  }, [chosen, usable.length]);
  if (runs.length < 2 || !rows.length || !chosen) return null;
  const results = runs.map((run) => run.results[0]);
  const title = metricTitle(chosen);
  return (
    <section class="card" aria-labelledby="results-title">
      <div class="section-head">
        <h2 id="results-title">Results by parameter</h2>
        <Select
          label="Parameter"
          value={row?.name ?? ""}
          options={rows.map((each) => [each.name, each.name] as const)}
          onChange={(name) => setQuery({ param: name })}
        />
        <Select
          label="Result"
          value={writeField(chosen)}
          options={usable.map((each) => [writeField(each), metricTitle(each)] as const)}
          onChange={(value) => setQuery({ result: value })}
        />
      </div>
      <div class="results">
        {row && (
          <Scatter
            x={row.name}
            y={title}
            points={runs.map((run, at) => ({
              label: labels[at]!,
              prefix: run.record.prefix,
              color: colors[at]!,
              x: row.values[at],
              y: results[at],
            }))}
          />
        )}
        <Parallel
          dimensions={[...rows.slice(0, DIMENSIONS_MAX), { name: title, values: results }]}
          labels={labels}
          colors={colors}
        />
      </div>
    </section>
  );
}

/** A chart for each field that any run has, with a line for each run. */
function Overlays({ runs, labels, colors, fields }: Compared): JSX.Element {
  const choices = axes(fields);
  const view = chartView(choices[0]![0]);
  const words = view.search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = fields.filter(
    (each) => !AXES.includes(each.field) && words.every((word) => metricTitle(each).toLowerCase().includes(word)),
  );
  const revision = runs.reduce((sum, run) => sum + run.record.entries, 0);
  const all = query.value.get("attempts") === "all";
  return (
    <>
      <ChartControls view={view} axes={choices} searchLabel="Find metrics">
        {runs.some((run) => run.attempts.length > 1) && (
          <Select
            label="Attempts"
            value={all ? "all" : "newest"}
            options={ATTEMPTS}
            onChange={(value) => setQuery({ attempts: value === "all" ? value : null })}
          />
        )}
      </ChartControls>
      <div class="charts">
        {found.slice(0, CHARTS_MAX).map((each) => {
          const axis = axisOf(view.x, each);
          const having = runs.flatMap((run, at) =>
            run.metrics.some((metric) => metric.name === each.name && metric.fields.includes(each.field)) ? [at] : [],
          );
          return (
            <Chart
              key={writeField(each)}
              title={axis === view.x ? metricTitle(each) : `${metricTitle(each)} (by index)`}
              lines={having.flatMap((at) => {
                const { record, attempts } = runs[at]!;
                const { name, field } = each;
                const line = { key: record.prefix, label: labels[at]!, color: colors[at]!, name, field };
                return comparedLines({ ...line, experimentId: record.id }, record, attempts, all);
              })}
              x={axis}
              smoothing={view.smoothing}
              log={view.log}
              range={view.ranges.get(axis) ?? null}
              onRange={(range) => setRange(range, axis, view.x)}
              syncKey={axis}
              revision={revision}
            />
          );
        })}
      </div>
      {found.length > CHARTS_MAX && (
        <p class="muted">and {whole(found.length - CHARTS_MAX)} more: search for what you want to see</p>
      )}
    </>
  );
}

function writeField({ name, field }: MetricField): string {
  return JSON.stringify([name, field]);
}

function parseField(text: string | null): MetricField | null {
  try {
    const [name, field] = JSON.parse(text ?? "") as [unknown, unknown];
    return (name === null || typeof name === "string") && typeof field === "string" ? { name, field } : null;
  } catch {
    return null;
  }
}
