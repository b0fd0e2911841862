/** The alerts of an experiment: what its script has said by exp.alert. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import type { AlertRow, Experiment } from "../../api/types";
import { query, setQuery } from "../../state/url";
import { Empty, SearchField, Select, Toggle } from "../../ui/basic";
import { localTime, text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { TerminalText } from "../../ui/TerminalText";
import { AllLines, Clock, FilteredLines, ROW } from "./Lines";

const LEVELS = ["info", "warning", "error"] as const;
const TITLE_MAX = 2000;

export function AlertsTab({ record }: { record: Experiment }): JSX.Element {
  const level = LEVELS.find((each) => each === query.value.get("level")) ?? null;
  const search = query.value.get("text") ?? "";
  const [follow, setFollow] = useState(record.status === "RUNNING");
  const lines = {
    record,
    path: "alerts",
    noun: "alert",
    label: "Alerts",
    follow,
    active: null,
    render: (row: AlertRow | undefined, key: number) => <Alert key={key} row={row} />,
  };
  return (
    <>
      <div class="controls">
        <SearchField main label="Find alerts" value={search} onInput={(value) => setQuery({ text: value })} />
        <Select
          label="Level"
          value={level ?? "all"}
          options={[["all", "all"] as const, ...LEVELS.map((each) => [each, each] as const)]}
          onChange={(value) => setQuery({ level: value === "all" ? null : value })}
        />
        <Toggle label="follow" value={follow} onChange={setFollow} />
      </div>
      {level || search ? (
        <FilteredLines key={`${level} ${search}`} {...lines} filter={{ level, search: search || null }} />
      ) : (
        <AllLines
          {...lines}
          empty={<Empty title="This run has said nothing that somebody has to know" hint="A script does where it matters; rules of a folder watch the rest:" code={'exp.alert("loss is NaN", level="error")'} />}
        />
      )}
    </>
  );
}

function Alert({ row }: { row: AlertRow | undefined }): JSX.Element {
  if (!row) return <div class="log" style={{ height: `${ROW}px` }} />;
  const said = [row.title, row.text].map(text).filter(Boolean).join(": ");
  return (
    <div class={`log log-${text(row.level)}`} style={{ height: `${ROW}px` }}>
      <time dateTime={row.timestamp} title={`${localTime(row.timestamp)} (${row.timestamp})`}>
        <Clock at={row.timestamp} />
      </time>
      <span class="log-level alert-level">{plain(text(row.level))}</span>
      <span class="log-text" title={plain(said.slice(0, TITLE_MAX))}>
        <TerminalText text={said} between=" ⏎ " />
      </span>
      {typeof row.held === "number" && row.held > 0 && (
        <span class="log-field">
          held back=<b>{whole(row.held)}</b>
        </span>
      )}
    </div>
  );
}
