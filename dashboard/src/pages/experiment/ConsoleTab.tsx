/** What the script has printed. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import type { ConsoleRow, Experiment } from "../../api/types";
import { query, setQuery } from "../../state/url";
import { Empty, SearchField, Select, Toggle } from "../../ui/basic";
import { tell } from "../../ui/Notice";
import { localTime, text } from "../../ui/format";
import { TerminalText } from "../../ui/TerminalText";
import { AllLines, Clock, FilteredLines, nextLine, ROW } from "./Lines";

const STREAMS = ["stdout", "stderr"] as const;
/** What a line says that tells of an error: exceptions have it in their names. */
const ERROR = "error";

export function ConsoleTab({ record }: { record: Experiment }): JSX.Element {
  const stream = STREAMS.find((each) => each === query.value.get("stream")) ?? null;
  const search = query.value.get("text") ?? "";
  const [follow, setFollow] = useState(record.status === "RUNNING");
  const [active, setActive] = useState<number | null>(null);

  async function goOn(): Promise<void> {
    const found = await nextLine(record, "console", { search: ERROR }, active ?? -1);
    if (!found) return tell({ text: "No line says “error”." });
    if (found.again) tell({ text: "From the beginning again." });
    setFollow(false);
    setActive(found.index);
    if (stream || search) setQuery({ stream: null, text: null });
  }

  const lines = {
    record,
    path: "console",
    noun: "line",
    label: "Printed lines",
    follow,
    active: stream || search ? null : active,
    render: (row: ConsoleRow | undefined, key: number) => <Line key={key} row={row} marked={row?.index === active} />,
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
        <Toggle label="follow" value={follow} onChange={(on) => (setFollow(on), setActive(null))} />
        <button type="button" onClick={() => void goOn()}>
          Next error
        </button>
      </div>
      {stream || search ? (
        <FilteredLines key={`${stream} ${search}`} {...lines} filter={{ stream, search: search || null }} />
      ) : (
        <AllLines
          {...lines}
          empty={<Empty title="Nothing that this run has printed was kept" hint="Standard output and errors are, with their colours, where a run captures them:" code="Experiment(…, capture=True)" />}
        />
      )}
    </>
  );
}

function Line({ row, marked }: { row: ConsoleRow | undefined; marked: boolean }): JSX.Element {
  if (!row) return <div class="log" style={{ height: `${ROW}px` }} />;
  return (
    <div class={`log console console-${row.stream} ${marked ? "log-marked" : ""}`} style={{ height: `${ROW}px` }}>
      <time dateTime={row.timestamp} title={`${localTime(row.timestamp)} (${row.timestamp})`}>
        <Clock at={row.timestamp} />
      </time>
      {typeof row.rank === "number" && row.rank > 0 && <span class="log-field">rank {row.rank}</span>}
      <span class="console-text">
        <TerminalText text={typeof row.text === "string" ? row.text : text(row.text)} between=" " />
      </span>
    </div>
  );
}
