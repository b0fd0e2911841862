/** The charts of an experiment, by groups; those far below are made when somebody scrolls there. */

import { createContext, type JSX } from "preact";
import { useContext, useEffect, useMemo, useRef, useState } from "preact/hooks";

import { get } from "../../api/client";
import type { Attempt, Experiment, Metric, Rows } from "../../api/types";
import { Chart } from "../../charts/Chart";
import { query, setQuery } from "../../state/url";
import { Empty, Select } from "../../ui/basic";
import { several, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { linesOf } from "./attempts";
import { ChartControls, type ChartView, chartView, setRange } from "./ChartControls";
import { useAttempts, useMediaTitles } from "./experiment";
import { axes, axisOf, chartInside, type ChartOf, chartGroups, chartOfKey, type Group, insteadOf, isMedia, isSystem, numbersInside } from "./groups";
import { type Choice, choiceOf, linesOfRanks, optionsOf, useRanks } from "./ranks";

const STEP = 24;
const OPEN_MAX = 60;
const AWAITED = 8;
const FIRST = `exp.metrics("train").log(step=step, loss=loss)`;

/** The newest attempts, for all charts. */
const Attempts = createContext<readonly Attempt[]>([]);
/** Which ranks there are, and which of them charts show. */
const RankChoice = createContext<{ ranks: readonly number[]; choice: Choice }>({ ranks: [], choice: "all" });

/**
 * @param props.metrics Those that are known by now.
 * @param props.total How many there are.
 * @param props.system Whether the charts are those of the machines' load, and no others.
 */
export function ChartsTab(props: { record: Experiment; metrics: Metric[] | null; total: number; system?: boolean }): JSX.Element {
  const { record, total, system = false } = props;
  const isWhole = props.metrics !== null && props.metrics.length >= total;
  const attempts = useAttempts(record);
  const media = useMediaTitles(record);
  // until these are known nobody knows which lines and which charts there are
  const metrics = useMemo(
    () => (attempts && media && props.metrics ? props.metrics.filter(({ name }) => !system || isSystem(name)) : null),
    [attempts !== null, media !== null, props.metrics, system],
  );
  const choices = useMemo(() => axes(metrics ?? []), [metrics]);
  const view = chartView(choices[0]![0]);
  const ranks = useRanks(record, metrics);
  const choice = choiceOf(query.value.get("ranks"), ranks);
  const ofRanks = useMemo(() => ({ ranks, choice }), [ranks, choice]);
  const groups = useMemo(() => chartGroups(metrics ?? [], view.search, media ?? new Set()), [metrics, view.search, media]);
  const all = groups.flatMap((group) => group.charts);
  const enlarged = chartOfKey(all, query.value.get("chart"));
  if (metrics && isWhole && !metrics.length) {
    if (system) return <Empty title="No load of the machine was measured" hint="It is, every ten seconds, where a run captures what surrounds it, and psutil is installed:" code="Experiment(…, capture=True)" />;
    return <Empty title="This run has logged no metrics yet" hint="Each number of a row has a chart here, as soon as it is logged:" code={FIRST} />;
  }
  return (
    <Attempts.Provider value={attempts ?? []}>
      <ChartControls view={view} axes={choices} searchLabel="Find metrics">
        {metrics && (
          <p class="muted chart-count" role="status">
            {several(all.length, "chart")} of {isWhole ? several(metrics.length, "metric") : `the first ${whole(props.metrics!.length)} of ${several(total, "metric")} so far`}
          </p>
        )}
        {ranks.length > 1 && (
          <Select label="Ranks" value={String(choice)} options={optionsOf(ranks)} onChange={(value) => setQuery({ ranks: value === "all" ? null : value })} />
        )}
      </ChartControls>
      {(!metrics || (!isWhole && !all.length)) && <Awaited />}
      <RankChoice.Provider value={ofRanks}>
        {enlarged ? (
          <OneChart key={enlarged.key} record={record} chart={enlarged} view={view} height={460} />
        ) : (
          <Groups key={view.search} groups={groups} record={record} view={view} system={system} />
        )}
      </RankChoice.Provider>
    </Attempts.Provider>
  );
}

/** In the place of charts, until it is known which there are. */
function Awaited(): JSX.Element {
  return (
    <div class="charts charts-awaited" role="status" aria-label="Loading">
      {Array.from({ length: AWAITED }, (_, at) => (
        <div key={at} class="chart waiting" />
      ))}
    </div>
  );
}

/** Groups one after the other, more of them as the end comes into sight. */
function Groups(props: { groups: Group[]; record: Experiment; view: ChartView; system: boolean }): JSX.Element {
  const [shown, setShown] = useState(STEP);
  const end = useRef<HTMLDivElement>(null);
  const count = props.groups.reduce((sum, group) => sum + group.charts.length, 0);
  const isMore = shown < props.groups.length;
  useEffect(() => {
    // with all of them there the end stays in sight: to look for more then would never end
    if (!isMore) return;
    const observer = new IntersectionObserver(
      ([entry]) => entry!.isIntersecting && setShown((before) => before + STEP),
      { rootMargin: "600px" },
    );
    observer.observe(end.current!);
    return () => observer.disconnect();
  }, [shown, isMore]);
  return (
    <>
      {props.groups.slice(0, shown).map((group, index) => (
        <ChartGroup
          key={group.name}
          group={group}
          record={props.record}
          view={props.view}
          open={index === 0 || (count <= OPEN_MAX && (props.system || !isSystem(group.name)))}
        />
      ))}
      <div ref={end} class="end" />
    </>
  );
}

function ChartGroup(props: { group: Group; record: Experiment; view: ChartView; open: boolean }): JSX.Element {
  const { group } = props;
  const [open, setOpen] = useState(props.open);
  const [shown, setShown] = useState(STEP);
  return (
    <details class="chart-group" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {plain(group.name)} <span class="count">{whole(group.charts.length)}</span>
      </summary>
      {open && (
        <div class="charts">
          {group.charts.slice(0, shown).map((chart) => (
            <OneChart key={chart.key} record={props.record} chart={chart} view={props.view} group={group.name} />
          ))}
        </div>
      )}
      {open && group.charts.length > shown && (
        <button type="button" onClick={() => setShown(shown + 4 * STEP)}>
          Show more of {whole(group.charts.length)}
        </button>
      )}
    </details>
  );
}

function OneChart(props: {
  record: Experiment;
  chart: ChartOf;
  view: ChartView;
  /** Under whose name it stands; nothing where it stands alone. */
  group?: string;
  height?: number;
}): JSX.Element {
  const { record, chart, view } = props;
  const [inside, setInside] = useState<string[]>([]);
  const [shownElsewhere, setShownElsewhere] = useState(false);
  const axis = axisOf(view.x, chart);

  /** A field that is a dict has its numbers inside: each has a chart of its own. */
  async function lookInside(): Promise<void> {
    try {
      const path = `experiments/${record.id}/metrics/rows`;
      const { total } = await get<Rows>(path, { name: chart.name, limit: 0 });
      const last = await get<Rows>(path, {
        name: chart.name,
        start_index: Math.max(0, total - 1),
        limit: 1,
      });
      const value = last.data[0]?.data[chart.field];
      setShownElsewhere(isMedia(value));
      setInside(numbersInside(value, chart.field));
    } catch {
      // the chart says that there are no numbers, and that is all that is known
    }
  }
  const attempts = useContext(Attempts);
  const { ranks, choice } = useContext(RankChoice);
  const lines = useMemo(
    () => linesOfRanks(linesOf(chart, record, attempts), choice, ranks),
    [chart.key, record.id, record.attempts, attempts, choice, ranks],
  );
  if (shownElsewhere) return <></>;
  if (inside.length) {
    return (
      <>
        {inside.map((field) => (
          <OneChart
            key={field}
            {...props}
            chart={chartInside(chart, field)}
          />
        ))}
      </>
    );
  }
  return (
    <Chart
      onEmpty={() => void lookInside()}
      title={chart.title}
      shortTitle={props.group && chart.title.startsWith(`${props.group}/`) ? chart.title.slice(props.group.length + 1) : chart.title}
      note={insteadOf(view.x, chart)}
      lines={lines}
      x={axis}
      smoothing={view.smoothing}
      log={view.log}
      range={view.ranges.get(axis) ?? null}
      onRange={(range) => setRange(range, axis, view.x)}
      syncKey={axis}
      revision={record.entries}
      onEnlarge={() => setQuery({ chart: props.height ? null : chart.key }, { push: true })}
      {...(props.height ? { height: props.height } : {})}
    />
  );
}
