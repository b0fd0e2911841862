/** The messages of an experiment: any number of them, of which those in sight are asked for. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { get, isAbort } from "../../api/client";
import type { ExperimentRecord, LogRow, Rows } from "../../api/types";
import { query, setQuery } from "../../state/url";
import { Empty, SearchField, Select, Toggle } from "../../ui/basic";
import { several, text } from "../../ui/format";
import { VirtualList } from "../../ui/VirtualList";

const PAGE = 200;
const ROW = 26;
const LEVELS = ["debug", "info", "warn", "error", "fatal"] as const;

export function LogsTab({ record }: { record: ExperimentRecord }): JSX.Element {
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
function All({ record, follow }: { record: ExperimentRecord; follow: boolean }): JSX.Element {
  const [total, setTotal] = useState<number | null>(null);
  const [rows, setRows] = useState<ReadonlyMap<number, LogRow>>(new Map());
  const asked = useRef(new Set<number>());
  const range = useRef<readonly [number, number]>([0, PAGE]);

  const load = useCallback(
    async (start: number) => {
      asked.current.add(start);
      try {
        const page = await get<Rows<LogRow>>(`experiments/${record.id}/logs`, { start_index: start, limit: PAGE });
        // a page that is not full yet is asked for again when there are more
        if (page.data.length < PAGE) asked.current.delete(start);
        setRows((before) => new Map([...before, ...page.data.map((row) => [row.index, row] as const)]));
        setTotal(page.total);
      } catch {
        asked.current.delete(start);
      }
    },
    [record.id],
  );
  const show = useCallback(
    (first: number, last: number) => {
      range.current = [first, last];
      for (let start = Math.floor(first / PAGE) * PAGE; start < last; start += PAGE) {
        if (!asked.current.has(start)) void load(start);
      }
    },
    [load],
  );
  useEffect(() => {
    void get<Rows<LogRow>>(`experiments/${record.id}/logs`, { limit: 0 }).then(
      (page) => {
        setTotal(page.total);
        show(...range.current);
      },
      () => undefined,
    );
  }, [record.id, record.rows]);

  if (total === null) return <p class="loading">Loading…</p>;
  if (!total) return <Empty title="This experiment has logged no messages." code='exp.log("Training started")' />;
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
  record: ExperimentRecord;
  level: string | null;
  search: string;
  follow: boolean;
}): JSX.Element {
  const { record, level, search } = props;
  const [rows, setRows] = useState<LogRow[]>([]);
  const [state, setState] = useState({ next: 0, total: 0, hasMore: true, loaded: false });
  const busy = useRef(false);

  const load = useCallback(
    async (start: number, signal: AbortSignal) => {
      if (busy.current) return;
      busy.current = true;
      try {
        const page = await get<Rows<LogRow>>(
          `experiments/${record.id}/logs`,
          { level, search: search || null, start_index: start, limit: PAGE },
          signal,
        );
        setRows((before) => [...before, ...page.data]);
        setState({ next: page.endIndex + 1, total: page.total, hasMore: page.hasMore, loaded: true });
      } finally {
        busy.current = false;
      }
    },
    [record.id, level, search],
  );
  useEffect(() => {
    const end = new AbortController();
    const timer = setTimeout(() => {
      void load(state.next, end.signal).catch((error: unknown) => {
        if (!isAbort(error)) console.debug(error);
      });
    }, state.loaded ? 0 : 200);
    return () => (clearTimeout(timer), end.abort());
  }, [record.rows, load]);

  if (state.loaded && !rows.length) return <Empty title="No message is what was asked for." />;
  return (
    <>
      <p class="muted" role="status">
        {state.loaded ? several(state.total, "message") : "Searching…"}
      </p>
      <VirtualList
        class="logs"
        role="log"
        label="Messages"
        count={rows.length}
        rowHeight={ROW}
        follow={props.follow}
        onRange={(_, last) => {
          if (state.hasMore && state.loaded && last >= rows.length) void load(state.next, new AbortController().signal);
        }}
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
        {row.timestamp} · {row.level} · message {row.index}
      </p>
      <pre tabIndex={0}>{row.message}</pre>
      {row.metadata && <pre class="muted">{JSON.stringify(row.metadata, null, 2)}</pre>}
    </section>
  );
}

function Message({ row }: { row: LogRow | undefined }): JSX.Element {
  if (!row) return <div class="log" style={{ height: `${ROW}px` }} />;
  const metadata = Object.entries(row.metadata ?? {});
  return (
    <div class={`log log-${row.level}`} style={{ height: `${ROW}px` }}>
      <time dateTime={row.timestamp}>{row.timestamp.slice(0, 19).replace("T", " ")}</time>
      <span class="log-level">{row.level}</span>
      <button type="button" class="log-text" title={row.message} onClick={() => (chosen.value = row)}>
        {row.message.replaceAll("\n", " ⏎ ")}
      </button>
      {metadata.map(([name, value]) => (
        <span key={name} class="log-field">
          {name}=<b>{text(value)}</b>
        </span>
      ))}
    </div>
  );
}
