/** The ranks of a distributed training, and which lines a chart has by them. */

import { useState } from "preact/hooks";

import { get } from "../../api/client";
import type { Experiment, Metric, Ranks } from "../../api/types";
import type { Line } from "../../charts/load";
import { colorOf } from "../../charts/palette";
import { usePoll } from "../../state/poll";
import { LINES_MAX } from "./attempts";
import { isSystem } from "./groups";

/** All ranks in one line, the mean with a band from the least to the largest; a line for each; or one of them alone. */
export type Choice = "all" | "each" | number;

/** So many metrics are asked for their ranks, of which each mostly has all. */
const ASKED = 4;
/** More than that nobody picks from a list. */
const LISTED = 64;

/** Return the ranks that have logged, in order; none where the experiment's processes have none. */
export function useRanks(record: Experiment, metrics: readonly Metric[] | null): readonly number[] {
  const [ranks, setRanks] = useState<readonly number[]>([]);
  const names = askedOf(metrics ?? []);
  usePoll(
    async (signal) => {
      const answers = await Promise.all(
        names.map((name) => get<Ranks>(`experiments/${record.id}/metrics/ranks`, { name, limit: LISTED }, signal)),
      );
      setRanks(together(answers.map(({ data }) => data.map(({ rank }) => rank))));
    },
    60_000,
    [record.id, names.join("\n")],
  );
  return ranks;
}

/** The first metrics, those of the machines' load last: not all ranks measure that. */
function askedOf(metrics: readonly Metric[]): (string | null)[] {
  const [own, system] = [metrics.filter(({ name }) => !isSystem(name)), metrics.filter(({ name }) => isSystem(name))];
  return [...own, ...system].slice(0, ASKED).map(({ name }) => name);
}

/** The ranks of several metrics, each once and in order; null stands for processes without one. */
export function together(found: readonly (readonly (number | null)[])[]): number[] {
  const known = new Set(found.flat().filter((rank): rank is number => rank !== null));
  return [...known].sort((a, b) => a - b).slice(0, LISTED);
}

/** Return the choice that an address says; all where there is no such rank, or only one. */
export function choiceOf(said: string | null, ranks: readonly number[]): Choice {
  if (ranks.length < 2 || !said) return "all";
  if (said === "each") return "each";
  const rank = /^\d+$/.test(said) ? Number(said) : null;
  return rank !== null && ranks.includes(rank) ? rank : "all";
}

export function optionsOf(ranks: readonly number[]): (readonly [string, string])[] {
  const each = ranks.length > LINES_MAX ? `each of the first ${LINES_MAX}` : "each";
  return [["all", "mean and band"], ["each", each], ...ranks.map((rank) => [String(rank), `rank ${rank}`] as const)];
}

/** Return a chart's lines for a choice of ranks. Where attempts have lines of their own, each rank has the newest one's. */
export function linesOfRanks(lines: readonly Line[], choice: Choice, ranks: readonly number[]): Line[] {
  if (choice === "all") return [...lines];
  if (choice !== "each") return lines.map((line) => ofRank(line, choice, line.color));
  const newest = lines.slice(-1);
  return newest.flatMap((line) => ranks.slice(0, LINES_MAX).map((rank) => ({ ...ofRank(line, rank, colorOf(rank)), label: nameOf(line, rank) })));
}

function ofRank(line: Line, rank: number, color: string): Line {
  return { ...line, key: `${line.key} of ${rank}`, rank, color };
}

function nameOf({ attempt }: Line, rank: number): string {
  return attempt === undefined ? `rank ${rank}` : `attempt ${attempt}, rank ${rank}`;
}
