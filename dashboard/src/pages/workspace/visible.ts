/** Which runs of the set are drawn. */

import type { ListedExperiment } from "../../api/types";
import type { Group } from "./groups";
import { DRAWN_MAX, nameIn } from "./runs";
import type { Shown, View } from "./view";

/** So many are drawn at first. */
export const FIRST = 10;

type Chosen = Pick<View, "shown" | "except" | "folder">;

/** Return what tells whether the run at a place of the set is drawn. */
export function drawnBy({ shown, except, folder }: Chosen): (run: ListedExperiment, at: number) => boolean {
  return (run, at) => byItself(shown, at) !== except.has(nameIn(run, folder));
}

function byItself(shown: Shown, at: number): boolean {
  return shown === "all" || (shown === "first" && at < FIRST);
}

/** @param besides Runs that are drawn by name, and are not among those of the set that are known. */
export function drawnRuns(
  runs: readonly ListedExperiment[],
  besides: readonly ListedExperiment[],
  chosen: Chosen,
): ListedExperiment[] {
  const isDrawn = drawnBy(chosen);
  const others = besides.filter((run) => chosen.shown !== "all" && chosen.except.has(nameIn(run, chosen.folder)));
  return [...runs.filter(isDrawn), ...others].slice(0, DRAWN_MAX);
}

/** Switch runs on or off; what comes to be as `shown` has it is no exception any more. */
export function switched(
  runs: readonly ListedExperiment[],
  chosen: Chosen,
  which: ReadonlySet<string>,
  on: boolean,
): Set<string> {
  const next = new Set(chosen.except);
  runs.forEach((run, at) => {
    if (!which.has(run.id)) return;
    const name = nameIn(run, chosen.folder);
    if (byItself(chosen.shown, at) === on) next.delete(name);
    else next.add(name);
  });
  return next;
}

/** What stands for a group among the exceptions: no run's name begins so. */
function groupName(group: Group): string {
  return `=${group.key}`;
}

export function isGroupDrawn(group: Group, at: number, { shown, except }: Pick<Chosen, "shown" | "except">): boolean {
  return byItself(shown, at) !== except.has(groupName(group));
}

export function drawnGroups(groups: readonly Group[], chosen: Pick<Chosen, "shown" | "except">): Group[] {
  return groups.filter((group, at) => isGroupDrawn(group, at, chosen)).slice(0, DRAWN_MAX);
}

/** Switch a group on or off. */
export function groupSwitched(group: Group, except: ReadonlySet<string>): Set<string> {
  const next = new Set(except);
  if (!next.delete(groupName(group))) next.add(groupName(group));
  return next;
}
