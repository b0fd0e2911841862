/** One experiment: how it stands, and a tab for each kind of thing that it has logged. */

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import type { Experiment } from "../../api/types";
import { query, setQuery } from "../../state/url";
import { Empty, Link, now, Status, Tabs, Tags, Time } from "../../ui/basic";
import { duration, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { TerminalText } from "../../ui/TerminalText";
import { seconds } from "../workspace/columns";
import { ChartsTab } from "./ChartsTab";
import { ConsoleTab } from "./ConsoleTab";
import { EnvironmentTab } from "./EnvironmentTab";
import { useExperiment, useMetrics } from "./experiment";
import { FilesTab } from "./FilesTab";
import { LogsTab } from "./LogsTab";
import { MediaTab } from "./MediaTab";
import { Overview } from "./Overview";
import { ParamsTab } from "./ParamsTab";
import { TracksTab } from "./TracksTab";

const TABS = [
  ["charts", "Charts"],
  ["media", "Media"],
  ["overview", "Overview"],
  ["logs", "Logs"],
  ["console", "Console"],
  ["params", "Params"],
  ["environment", "Environment"],
  ["files", "Files"],
  ["tracks", "Tracks"],
] as const;
type Tab = (typeof TABS)[number][0];

export function ExperimentPage(props: { prefix: string }): JSX.Element {
  const { record, missing } = useExperiment(props.prefix);
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
    <div class="experiment">
      {missing === "deleted" && (
        <div class="banner" role="alert">
          This experiment was deleted. You see its last known state.
        </div>
      )}
      <Head record={record} />
      <Body record={record} />
    </div>
  );
}

function Head({ record }: { record: Experiment }): JSX.Element {
  const parents = record.prefix.split("/").slice(0, -1);
  const taken = seconds(record, now.value);
  return (
    <header class="experiment-head">
      <nav aria-label="Folders" class="crumbs">
        <Link href="/">Experiments</Link>
        {parents.map((name, at) => (
          <span key={at}>
            {" / "}
            <Link href={`/?${new URLSearchParams({ in: parents.slice(0, at + 1).join("/") })}`}>{plain(name)}</Link>
          </span>
        ))}
      </nav>
      <div class="experiment-title">
        <h1>{plain(record.name)}</h1>
        <Status of={record} />
        <Tags tags={record.tags} />
      </div>
      <dl class="facts">
        <Fact name="Started">
          <Time at={record.startedAt} />
        </Fact>
        <Fact name={record.endedAt ? "Took" : "Running for"}>{taken === null ? "–" : duration(taken)}</Fact>
        <Fact name="Last activity">
          <Time at={record.lastActivity} />
        </Fact>
        <Fact name="Rows">{whole(record.rows)}</Fact>
        {record.host && <Fact name="Host">{record.host}</Fact>}
      </dl>
      {record.error && (
        <pre class="problem error-text">
          <TerminalText text={record.error} />
        </pre>
      )}
      {record.problem && <p class="problem">{record.problem}</p>}
    </header>
  );
}

function Fact(props: { name: string; children: JSX.Element | string }): JSX.Element {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

function Body({ record }: { record: Experiment }): JSX.Element {
  const metrics = useMetrics(record);
  const given = query.value.get("tab");
  const tab: Tab = TABS.find(([name]) => name === given)?.[0] ?? "charts";
  return (
    <>
      <Tabs
        label="Parts of the experiment"
        tabs={TABS}
        chosen={tab}
        onChoose={(next) => setQuery({ tab: next === "charts" ? null : next }, { push: true })}
      />
      <div id="panel" role="tabpanel" aria-labelledby={`tab-${tab}`} class="panel">
        {tab === "charts" && <ChartsTab record={record} metrics={metrics} />}
        {tab === "media" && <MediaTab record={record} />}
        {tab === "overview" && <Overview record={record} metrics={metrics} />}
        {tab === "logs" && <LogsTab record={record} />}
        {tab === "console" && <ConsoleTab record={record} />}
        {tab === "params" && <ParamsTab record={record} />}
        {tab === "environment" && <EnvironmentTab record={record} />}
        {tab === "files" && <FilesTab record={record} />}
        {tab === "tracks" && <TracksTab record={record} />}
      </div>
    </>
  );
}
