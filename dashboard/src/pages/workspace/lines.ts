/** The lines of a chart: which there are, what is asked for to draw them, and what is drawn of the answers. */

import type { ListedExperiment } from "../../api/types";
import { type Ask, curves, type Smooth, type Source } from "./curves";
import { type Trace, type TraceOf, traceOf } from "./plot/trace";
import type { Points } from "./points";
import type { Group } from "./groups";
import { isWithout, known } from "./ranks";
import { nameIn } from "./runs";
import type { Bounds } from "./panel/settings";
import { axisTitle, type ChartOf, type Part, partTitle } from "./sections";
import { attemptOf, colors, drawn, fieldsIn, groupId, groupsDrawn, isGrouped, isSettled, opened } from "./state";
import { view } from "./view";

export interface Line {
  /** Of a band, the first of its runs. */
  run: ListedExperiment;
  source: Source;
  /** How many rows its runs have. */
  version: number;
  of: TraceOf;
}

/** Answers are asked for in such steps of pixels, so that a chart that becomes a little wider needs no others. */
const WIDTH_STEP = 64;
const UNKNOWN = "#888888";

/** Tells the parts of a chart apart, where it has several. */
const DASHES: readonly (readonly number[])[] = [[], [6, 3], [2, 2.5], [9, 3, 2, 3]];

/** A line for each run that has what the chart shows; or for each group, and for each run of those that are opened. */
export function linesOf(chart: ChartOf): Line[] {
  return chart.parts.flatMap((part, at) => {
    const said = chart.parts.length > 1 ? ` · ${partTitle(part)}` : "";
    const dash = DASHES[at % DASHES.length]!;
    const look: Look = { said, ...(dash.length ? { dash } : {}), shared: null };
    return isGrouped.value ? groupsDrawn.value.flatMap((group) => linesOfGroup(group, part, look)) : linesOfRuns(drawn.value, part, look);
  });
}

interface Look {
  /** Behind the run's name, where a chart shows several things of it. */
  said: string;
  dash?: readonly number[];
  /** The colour of their group; null where each run has its own. */
  shared: string | null;
}

function linesOfGroup(group: Group, part: Part, { said, dash }: Look): Line[] {
  const key = groupId(group.key);
  const color = colors.value.get(key) ?? UNKNOWN;
  const together: Line = {
    run: group.runs[0]!,
    source: { experiments: group.runs.map((run) => run.id), ...sourceOf(part), ...rankOf() },
    version: group.runs.reduce((sum, run) => sum + run.rows, 0),
    of: { key, label: `${group.label}${said}`, color, spread: view.value.spread, ...(dash ? { dash } : {}) },
  };
  const members = opened.value.has(group.key) ? linesOfRuns(group.runs, part, { said, shared: color }) : [];
  return [together, ...members];
}

/** A line for each run of a chart, also where groups are drawn. */
export function singleLines(chart: ChartOf): Line[] {
  return chart.parts.flatMap((part) => linesOfRuns(drawn.value, part, { said: "", shared: null }));
}

function linesOfRuns(runs: readonly ListedExperiment[], part: Part, { said, dash, shared }: Look): Line[] {
  const { folder, ranks } = view.value;
  return runs.flatMap((run) => {
    if (!isSettled(run) || lacks(run, part, shared !== null)) return [];
    if (isWithout(ranks, known.value.get(run.id))) return [];
    const attempt = attemptOf(run);
    const source: Source = { experiment: run.id, ...sourceOf(part), ...rankOf(), ...(attempt === null ? {} : { attempt: String(attempt) }) };
    const color = shared ?? colors.value.get(run.id) ?? UNKNOWN;
    const label = `${nameIn(run, folder)}${said}`;
    const band = ranks === "mean" ? ({ spread: "minmax", isOfRows: true } as const) : { spread: null };
    const of = { key: run.id, label, color, ...band, isThin: shared !== null, ...(dash ? { dash } : {}) };
    return [{ run, source, version: run.rows, of }];
  });
}

/** Of large groups not all runs are asked for their metrics: a line of those that have none is an error that nobody sees. */
function lacks(run: ListedExperiment, part: Part, isMember: boolean): boolean {
  if ("expression" in part) return false;
  const known = fieldsIn(run, part.name);
  return isMember ? known?.includes(part.field) === false : !known?.includes(part.field);
}

function sourceOf(part: Part): Source {
  return "expression" in part ? part : { metric: part.name, field: part.field };
}

function rankOf(): Pick<Source, "rank"> {
  const { ranks } = view.value;
  return typeof ranks === "number" ? { rank: ranks } : {};
}

export interface Shown {
  axis: string;
  range: Bounds | null;
  width: number;
  smooth: Smooth | null;
}

export function askFor(line: Line, { axis, range, width, smooth }: Shown): Ask {
  const [start, stop] = range ?? [null, null];
  const wide = Math.max(WIDTH_STEP, Math.ceil(width / WIDTH_STEP) * WIDTH_STEP);
  return { source: line.source, version: line.version, window: { x: axis, start, stop, width: wide, smooth } };
}

/** What a chart does not show, or otherwise than the others, of lines that have answered: in few words, and of which runs. */
export function lackOf(lines: readonly Line[], asks: readonly Ask[], axis: string): { text: string; of: string } | null {
  const [without, byIndex]: [string[], string[]] = [[], []];
  asks.forEach((ask, at) => {
    const curve = curves.get(ask);
    const { label } = lines[at]!.of;
    // in a part of x there need be nothing
    const isWhole = ask.window.start === null && ask.window.stop === null;
    if (curves.problemOf(ask) !== undefined || (curve && !curve.points.x.length && isWhole)) without.push(label);
    else if (curve && curve.x !== ask.window.x) byIndex.push(label);
  });
  const isMixed = byIndex.length > 0 && byIndex.length + without.length < asks.length;
  if (without.length === asks.length || !(without.length || isMixed)) return null;
  const texts = [
    ...(without.length ? [`${without.length} of ${asks.length} have nothing over ${axisTitle(axis) || "time"}`] : []),
    ...(isMixed ? [`${byIndex.length} of ${asks.length} by index, for want of a ${axis}`] : []),
  ];
  return { text: texts.join(", "), of: [...without, ...(isMixed ? byIndex : [])].join("\n") };
}

/** What is drawn of a line: as it is asked for where that is there, else as it was before. */
export function traceFor(line: Line, ask: Ask): Trace | null {
  const curve = curves.get(ask) ?? curves.before(ask);
  return curve ? kept(curve.points, line.of) : null;
}

/** Traces as they were made last of each answer. */
const made = new WeakMap<Points, { said: string; trace: Trace }>();

function kept(points: Points, of: TraceOf): Trace {
  const said = JSON.stringify(of);
  const known = made.get(points);
  if (known?.said === said) return known.trace;
  const trace = traceOf(points, of);
  made.set(points, { said, trace });
  return trace;
}
