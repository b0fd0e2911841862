/** What the script has printed. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import type { ConsoleRow, Experiment } from "../../api/types";
import { query, setQuery } from "../../state/url";
import { Empty, SearchField, Select, Toggle } from "../../ui/basic";
import { localTime, text } from "../../ui/format";
import { TerminalText } from "../../ui/TerminalText";
import { AllLines, FilteredLines, ROW } from "./Lines";

const STREAMS = ["stdout", "stderr"] as const;

export function ConsoleTab({ record }: { record: Experiment }): JSX.Element {
  const stream = STREAMS.find((each) => each === query.value.get("stream")) ?? null;
  const search = query.value.get("text") ?? "";
  const [follow, setFollow] = useState(record.status === "RUNNING");
  const lines = {
    record,
    path: "console",
    noun: "line",
    label: "Printed lines",
    follow,
    render: (row: ConsoleRow | undefined, key: number) => <Line key={key} row={row} />,
  };
  return (
    <>
      <div class="controls">
        <SearchField main label="Find lines" value={search} onInput={(value) => setQuery({ text: value })} />
        <Select
          label="Stream"
          value={stream ?? "both"}
          options={[["both", "both"] as const, ...STREAMS.map((each) => [each, each] as const)]}
          onChange={(value) => setQuery({ stream: value === "both" ? null : value })}
        />
        <Toggle label="follow" value={follow} onChange={setFollow} />
      </div>
      {stream || search ? (
        <FilteredLines key={`${stream} ${search}`} {...lines} filter={{ stream, search: search || null }} />
      ) : (
        <AllLines
          {...lines}
          empty={<Empty title="Nothing that this experiment has printed was kept." code="Experiment(…, capture=True)" />}
        />
      )}
    </>
  );
}

function Line({ row }: { row: ConsoleRow | undefined }): JSX.Element {
  if (!row) return <div class="log" style={{ height: `${ROW}px` }} />;
  return (
    <div class={`log console console-${row.stream}`} style={{ height: `${ROW}px` }}>
      <time dateTime={row.timestamp} title={row.timestamp}>
        {localTime(row.timestamp)}
      </time>
      <span class="console-text">
        <TerminalText text={typeof row.text === "string" ? row.text : text(row.text)} between=" " />
      </span>
    </div>
  );
}
