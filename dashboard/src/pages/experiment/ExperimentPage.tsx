/** One experiment: how it stands, and a tab for each kind of thing that it has logged. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import type { Experiment } from "../../api/types";
import { mayWrite } from "../../state/session";
import { query, setQuery } from "../../state/url";
import { Empty, Link, Tabs } from "../../ui/basic";
import { tell } from "../../ui/Notice";
import { plain } from "../../ui/terminal";
import { AlertsTab } from "./AlertsTab";
import { ChartsTab } from "./ChartsTab";
import { restore } from "./changing/changes";
import { ConsoleTab } from "./ConsoleTab";
import { useExperiment, useMetrics } from "./experiment";
import { FilesTab } from "./FilesTab";
import { Head } from "./Head";
import { LogsTab } from "./LogsTab";
import { MediaTab } from "./MediaTab";
import { Overview } from "./overview/Overview";
import { TracksTab } from "./TracksTab";

const TABS = [
  ["charts", "Charts"],
  ["overview", "Overview"],
  ["media", "Media"],
  ["system", "System"],
  ["console", "Console"],
  ["logs", "Logs"],
  ["alerts", "Alerts"],
  ["files", "Files"],
  ["tracks", "Tracks"],
] as const;
type Tab = (typeof TABS)[number][0];
/** What had a tab of its own: addresses that people have kept lead to where it is. */
const FORMER: Readonly<Record<string, Tab>> = { params: "overview", environment: "overview" };

/** What scrolls by itself, and takes the page that is left below the head. */
const FILLING: readonly Tab[] = ["console", "logs", "alerts", "files", "tracks"];

interface Parts {
  record: Experiment;
  onChange: (record: Experiment) => void;
}

export function ExperimentPage(props: { prefix: string }): JSX.Element {
  const { record, missing, replace } = useExperiment(props.prefix);
  useEffect(() => {
    document.title = `${plain(props.prefix.split("/").at(-1)!)} · ML-Dash`;
  }, [props.prefix]);
  if (!record && missing) {
    return (
      <Empty title={`Experiment ${props.prefix} does not exist, or you do not have access to it.`}>
        <Link href="/">All experiments</Link>
      </Empty>
    );
  }
  if (!record) return <p class="loading">Loading…</p>;
  return (
    <div class={`experiment ${FILLING.includes(chosenTab()) ? "fills" : ""}`}>
      {missing === "deleted" && <Deleted record={record} onChange={replace} />}
      <Head record={record} onChange={replace} />
      <Body record={record} onChange={replace} />
    </div>
  );
}

function Deleted({ record, onChange }: Parts): JSX.Element {
  const [busy, setBusy] = useState(false);
  async function bringBack(): Promise<void> {
    setBusy(true);
    try {
      onChange(await restore(record));
    } catch (error) {
      tell({ text: (error as Error).message, isProblem: true });
    }
    setBusy(false);
  }
  return (
    <div class="banner" role="alert">
      This experiment was deleted, or it was moved. You see its last known state.{" "}
      {mayWrite(record.owner) && (
        <button type="button" disabled={busy} onClick={() => void bringBack()}>
          Restore
        </button>
      )}
    </div>
  );
}

function Body({ record, onChange }: Parts): JSX.Element {
  const { metrics, total } = useMetrics(record);
  const tab = chosenTab();
  return (
    <>
      <Tabs
        label="Parts of the experiment"
        tabs={TABS}
        chosen={tab}
        onChoose={(next) => setQuery({ tab: next === "charts" ? null : next }, { push: true })}
      />
      <div id="panel" role="tabpanel" aria-labelledby={`tab-${tab}`} class="panel">
        {tab === "charts" && <ChartsTab record={record} metrics={metrics} total={total} />}
        {tab === "system" && <ChartsTab record={record} metrics={metrics} total={total} system />}
        {tab === "overview" && <Overview record={record} metrics={metrics && total} onChange={onChange} />}
        {tab === "media" && <MediaTab record={record} />}
        {tab === "console" && <ConsoleTab record={record} />}
        {tab === "logs" && <LogsTab record={record} />}
        {tab === "alerts" && <AlertsTab record={record} />}
        {tab === "files" && <FilesTab record={record} />}
        {tab === "tracks" && <TracksTab record={record} />}
      </div>
    </>
  );
}

function chosenTab(): Tab {
  const given = query.value.get("tab") ?? "";
  return TABS.find(([name]) => name === given)?.[0] ?? FORMER[given] ?? "charts";
}
