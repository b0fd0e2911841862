/** How many alerts the runs of the list have, and which runs have them. */

import { Bell as BellIcon } from "lucide-preact";
import type { JSX } from "preact";

import type { ListedExperiment } from "../../api/types";
import { experimentPath } from "../../state/url";
import { Link, Time } from "../../ui/basic";
import { several, whole } from "../../ui/format";
import { Popover } from "../../ui/Popover";
import { plain } from "../../ui/terminal";
import { listing, nameIn } from "./runs";
import { view } from "./view";

/** Runs that the list names. */
const NAMED = 20;

export function Bell(): JSX.Element | null {
  const alerting = withAlerts(listing.value.rows);
  const count = alerting.reduce((sum, run) => sum + countOf(run), 0);
  if (count === 0) return null;
  const label = `${several(count, "alert")} in ${several(alerting.length, "run")}`;
  return (
    <Popover label={label} class="bell" text={<><BellIcon /> {whole(count)}</>}>
      <ul class="bell-runs">
        {alerting.slice(0, NAMED).map((run) => (
          <li key={run.id}>
            <Link href={`${experimentPath(run.prefix)}?tab=alerts`}>{plain(nameIn(run, view.value.folder))}</Link>{" "}
            <b>{whole(countOf(run))}</b> <span class="muted"><Time at={run.lastActivity} /></span>
          </li>
        ))}
      </ul>
      {alerting.length > NAMED && <p class="muted">and {several(alerting.length - NAMED, "run")} more</p>}
    </Popover>
  );
}

/** The runs that have alerts, those in which something happened last first. */
export function withAlerts(runs: readonly ListedExperiment[]): ListedExperiment[] {
  const last = (run: ListedExperiment): string => run.lastActivity ?? run.createdAt;
  return runs.filter((run) => countOf(run) > 0).sort((one, other) => (last(one) < last(other) ? 1 : -1));
}

/** Older servers do not say it. */
function countOf(run: ListedExperiment): number {
  return run.alerts ?? 0;
}
