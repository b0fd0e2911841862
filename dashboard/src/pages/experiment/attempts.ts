/** The attempts of an experiment, and which lines a chart has by them. */

import type { Attempt, Experiment } from "../../api/types";
import type { Line } from "../../charts/load";
import { colorOf } from "../../charts/palette";
import type { ChartOf } from "./groups";

/** More lines than that nobody tells apart; the rows of the rest are in the tables and at the API. */
export const LINES_MAX = 8;

/** A line for each of the newest attempts; one for all where each goes on from a step of the one before. */
export function linesOf(chart: ChartOf, record: Experiment, attempts: readonly Attempt[]): Line[] {
  const line = { label: chart.field, experimentId: record.id, name: chart.name, field: chart.field };
  const apart = drawnApart(record, attempts);
  if (!apart.length) return [{ ...line, key: chart.key, color: colorOf(0) }];
  return apart.map((each) => ({
    ...line,
    key: `${chart.key} ${each.number}`,
    label: `attempt ${each.number}`,
    attempt: each.number,
    color: colorOf(each.number - 1),
  }));
}

type Counted = Pick<Experiment, "attempts">;

/** The newest attempts, the oldest of them first; none where one line is right for all of them. */
function drawnApart(record: Counted, attempts: readonly Attempt[]): Attempt[] {
  const newest = attempts.slice(0, LINES_MAX);
  // the first one goes on from nothing
  const isOne = record.attempts < 2 || newest.every((each) => each.resumeFrom !== null || each.number === 1);
  return isOne ? [] : newest.reverse();
}
