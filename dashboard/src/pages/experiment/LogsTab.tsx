/** The messages of an experiment. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { encode } from "../../api/json";
import type { Experiment, LogRow } from "../../api/types";
import { query, setQuery } from "../../state/url";
import { Empty, SearchField, Select, Toggle } from "../../ui/basic";
import { tell } from "../../ui/Notice";
import { localTime, text } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { TerminalText } from "../../ui/TerminalText";
import { AllLines, Clock, FilteredLines, nextLine, ROW } from "./Lines";

const TITLE_MAX = 2000;
const LEVELS = ["debug", "info", "warn", "error", "fatal"] as const;

export function LogsTab({ record }: { record: Experiment }): JSX.Element {
  const level = LEVELS.find((each) => each === query.value.get("level")) ?? null;
  const search = query.value.get("text") ?? "";
  const [follow, setFollow] = useState(record.status === "RUNNING");
  const [active, setActive] = useState<number | null>(null);

  async function goOn(): Promise<void> {
    const found = await nextLine(record, "logs", { level: "error" }, active ?? -1);
    if (!found) return tell({ text: "There is no message of level error." });
    if (found.again) tell({ text: "From the beginning again." });
    setFollow(false);
    setActive(found.index);
    if (level || search) setQuery({ level: null, text: null });
  }

  useEffect(() => () => void (chosen.value = null), []);
  const lines = {
    record,
    path: "logs",
    noun: "message",
    label: "Messages",
    follow,
    active: level || search ? null : active,
    render: (row: LogRow | undefined, key: number) => <Message key={key} row={row} marked={row?.index === active} />,
  };
  return (
    <>
      <div class="controls">
        <SearchField main label="Find messages" value={search} onInput={(value) => setQuery({ text: value })} />
        <Select
          label="Level"
          value={level ?? "all"}
          options={[["all", "all"] as const, ...LEVELS.map((each) => [each, each] as const)]}
          onChange={(value) => setQuery({ level: value === "all" ? null : value })}
        />
        <Toggle label="follow" value={follow} onChange={(on) => (setFollow(on), setActive(null))} />
        <button type="button" onClick={() => void goOn()}>
          Next error
        </button>
      </div>
      {level || search ? (
        <FilteredLines key={`${level} ${search}`} {...lines} filter={{ level, search: search || null }} />
      ) : (
        <AllLines
          {...lines}
          empty={<Empty title="This run has logged no messages" hint="A message has a level and whatever else is worth keeping:" code='exp.log("Training started")' />}
        />
      )}
      <Whole />
    </>
  );
}

/** The message that is shown as a whole. */
const chosen = signal<LogRow | null>(null);

function Whole(): JSX.Element | null {
  const row = chosen.value;
  if (!row) return null;
  return (
    <section class="card log-whole" aria-label="Whole message">
      <button type="button" class="quiet" onClick={() => (chosen.value = null)}>
        Close
      </button>
      <p class="muted">
        <time dateTime={row.timestamp} title={row.timestamp}>
          {localTime(row.timestamp)}
        </time>{" "}
        · {text(row.level)} · message {row.index}
      </p>
      <pre tabIndex={0}>
        <TerminalText text={messageOf(row)} />
      </pre>
      {row.metadata && <pre class="muted">{plain(encode(row.metadata, 2))}</pre>}
    </section>
  );
}

function Message({ row, marked }: { row: LogRow | undefined; marked: boolean }): JSX.Element {
  if (!row) return <div class="log" style={{ height: `${ROW}px` }} />;
  const metadata = Object.entries(row.metadata ?? {});
  const message = messageOf(row);
  return (
    <div class={`log log-${row.level} ${marked ? "log-marked" : ""}`} style={{ height: `${ROW}px` }}>
      <time dateTime={row.timestamp} title={`${localTime(row.timestamp)} (${row.timestamp})`}>
        <Clock at={row.timestamp} />
      </time>
      <span class="log-level">{text(row.level)}</span>
      <button type="button" class="log-text" title={plain(message.slice(0, TITLE_MAX))} onClick={() => (chosen.value = row)}>
        <TerminalText text={message} between=" ⏎ " />
      </button>
      {metadata.map(([name, value]) => (
        <span key={name} class="log-field">
          {plain(name)}=<b>{text(value)}</b>
        </span>
      ))}
    </div>
  );
}

/** A message as it was written; whoever writes a journal by other means may log anything as one. */
function messageOf(row: LogRow): string {
  return typeof row.message === "string" ? row.message : text(row.message);
}
