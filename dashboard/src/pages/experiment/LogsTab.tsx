/** The messages of an experiment: any number of them, of which those in sight are asked for. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { get } from "../../api/client";
import { encode } from "../../api/json";
import type { Experiment, LogRow, Logs } from "../../api/types";
import { useLoad } from "../../state/poll";
import { query, setQuery } from "../../state/url";
import { Empty, SearchField, Select, Toggle } from "../../ui/basic";
import { several, text } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { TerminalText } from "../../ui/TerminalText";
import { VirtualList } from "../../ui/VirtualList";

const PAGE = 200;
const ROW = 26;
const TITLE_MAX = 2000;
const LEVELS = ["debug", "info", "warn", "error", "fatal"] as const;

export function LogsTab({ record }: { record: Experiment }): JSX.Element {
  const level = LEVELS.find((each) => each === query.value.get("level")) ?? null;
  const search = query.value.get("text") ?? "";
  const [follow, setFollow] = useState(record.status === "RUNNING");
  useEffect(() => () => void (chosen.value = null), []);
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
        <Toggle label="follow" value={follow} onChange={setFollow} />
      </div>
      {level || search ? (
        <Filtered key={`${level} ${search}`} record={record} level={level} search={search} follow={follow} />
      ) : (
        <All record={record} follow={follow} />
      )}
      <Whole />
    </>
  );
}

/** All messages: their number is known, so that any place can be scrolled to. */
function All({ record, follow }: { record: Experiment; follow: boolean }): JSX.Element {
  const [total, setTotal] = useState<number | null>(null);
  const [rows, setRows] = useState<ReadonlyMap<number, LogRow>>(new Map());
  /** The pages in sight: where the first begins, and what is behind the last. */
  const [sight, setSight] = useState<readonly [number, number]>([0, PAGE]);
  const whole = useRef(new Set<number>());
  const stop = Math.min(sight[1], total ?? 0);
  const path = `experiments/${record.id}/logs`;

  useLoad(
    async (signal) => setTotal((await get<Logs>(path, { limit: 0 }, signal)).total),
    [record.id, record.entries],
  );
  useLoad(
    async (signal) => {
      for (let start = sight[0]; start < stop; start += PAGE) {
        if (whole.current.has(start)) continue;
        let at = start;
        for (let more = true; more && at < start + PAGE; ) {
          const page = await get<Logs>(path, { start_index: at, limit: start + PAGE - at }, signal);
          setRows((before) => new Map([...before, ...page.data.map((row) => [row.index, row] as const)]));
          at = page.endIndex + 1;
          // long messages come a few at a time
          more = page.hasMore && page.data.length > 0;
        }
        // a page that is not full yet is asked for again when there are more
        if (at >= start + PAGE) whole.current.add(start);
      }
    },
    [record.id, sight[0], stop],
  );
  const show = useCallback((first: number, last: number) => {
    const pages = [Math.floor(first / PAGE) * PAGE, Math.ceil(last / PAGE) * PAGE] as const;
    setSight((before) => (before[0] === pages[0] && before[1] === pages[1] ? before : pages));
  }, []);

  if (total === null) return <p class="loading">Loading…</p>;
  if (!total) return <Empty title="This experiment has no log messages." code='exp.log("Training started")' />;
  return (
    <>
      <p class="muted" role="status">
        {several(total, "message")}
      </p>
      <VirtualList
        class="logs"
        role="log"
        label="Messages"
        count={total}
        rowHeight={ROW}
        follow={follow}
        onRange={show}
        render={(index) => <Message key={index} row={rows.get(index)} />}
      />
    </>
  );
}

/** Those of a level, or with a text in them: found from the first on, a page after the other. */
function Filtered(props: {
  record: Experiment;
  level: string | null;
  search: string;
  follow: boolean;
}): JSX.Element {
  const { record, level, search } = props;
  const [rows, setRows] = useState<LogRow[]>([]);
  const [state, setState] = useState({ next: 0, total: 0, hasMore: true, answers: 0, rows: 0 });
  const [last, setLast] = useState(0);
  const loaded = state.answers > 0;
  // while there are more, the end must come into sight; then, the experiment must have got more
  const isDue = !loaded || (state.hasMore ? last >= rows.length : state.rows !== record.entries);

  useLoad(
    async (signal) => {
      if (!isDue) return;
      const page = await get<Logs>(
        `experiments/${record.id}/logs`,
        { level, search: search || null, start_index: state.next, limit: PAGE },
        signal,
      );
      setRows((before) => [...before, ...page.data]);
      const { total, hasMore } = page;
      // a search that takes long is not begun anew whenever rows come: those are looked through afterwards
      setState({ next: page.endIndex + 1, total, hasMore, answers: state.answers + 1, rows: record.entries });
    },
    [record.id, level, search, isDue, state.answers],
    { delay: loaded ? 0 : 200 },
  );

  if (loaded && !rows.length) return <Empty title="No messages match this filter." />;
  return (
    <>
      <p class="muted" role="status">
        {loaded ? several(state.total, "message") : "Searching…"}
      </p>
      <VirtualList
        class="logs"
        role="log"
        label="Messages"
        count={rows.length}
        rowHeight={ROW}
        follow={props.follow}
        onRange={(_, behind) => setLast(behind)}
        render={(index) => <Message key={index} row={rows[index]} />}
      />
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
        {row.timestamp} · {text(row.level)} · message {row.index}
      </p>
      <pre tabIndex={0}>
        <TerminalText text={messageOf(row)} />
      </pre>
      {row.metadata && <pre class="muted">{plain(encode(row.metadata, 2))}</pre>}
    </section>
  );
}

function Message({ row }: { row: LogRow | undefined }): JSX.Element {
  if (!row) return <div class="log" style={{ height: `${ROW}px` }} />;
  const metadata = Object.entries(row.metadata ?? {});
  const message = messageOf(row);
  return (
    <div class={`log log-${row.level}`} style={{ height: `${ROW}px` }}>
      <time dateTime={row.timestamp}>{row.timestamp.slice(0, 19).replace("T", " ")}</time>
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
