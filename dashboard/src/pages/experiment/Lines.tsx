/** Lines that an experiment has logged or printed: any number of them, of which those in sight are asked for. */

import type { JSX } from "preact";
import { useCallback, useRef, useState } from "preact/hooks";

import { get } from "../../api/client";
import type { Experiment } from "../../api/types";
import { useLoad } from "../../state/poll";
import { Empty } from "../../ui/basic";
import { localTime, several } from "../../ui/format";
import { VirtualList } from "../../ui/VirtualList";

const PAGE = 200;
/** The height of a line in pixels. */
export const ROW = 22;

interface Page<Row> {
  data: Row[];
  endIndex: number;
  total: number;
  hasMore: boolean;
}

interface Props<Row> {
  record: Experiment;
  /** What is asked for, below the experiment. */
  path: string;
  /** What one of them is called, and what their list is. */
  noun: string;
  label: string;
  follow: boolean;
  /** Has the line of this number brought into sight, and marked. */
  active?: number | null;
  render: (row: Row | undefined, key: number) => JSX.Element;
}

interface Found {
  index: number;
  /** Whether it was looked for from the beginning again. */
  again: boolean;
}

/** Return the next line behind a place that a filter keeps, from the beginning again behind the last; null where none is. */
export async function nextLine(
  record: Pick<Experiment, "id">,
  path: string,
  filter: Record<string, string>,
  behind: number,
): Promise<Found | null> {
  for (const [start, again] of [[behind + 1, false], [0, true]] as const) {
    const asked = { ...filter, start_index: start, limit: 1 };
    // a server that looks through very many lines gives up now and then, and says where
    for (let at = start, more = true; more; ) {
      const page = await get<Page<{ index: number }>>(`experiments/${record.id}/${path}`, { ...asked, start_index: at });
      if (page.data.length) return { index: page.data[0]!.index, again };
      more = page.hasMore && page.endIndex >= at;
      at = page.endIndex + 1;
    }
    if (behind < 0) break;
  }
  return null;
}

/** When a line was written; where there is little room, without the date. */
export function Clock({ at }: { at: string }): JSX.Element {
  const [date = "", clock] = localTime(at).split(" ");
  return (
    <>
      <span class="log-date">{date} </span>
      {clock}
    </>
  );
}

/** All lines: their number is known, so that any place can be scrolled to. */
export function AllLines<Row extends { index: number }>(props: Props<Row> & { empty: JSX.Element }): JSX.Element {
  const { record } = props;
  const [total, setTotal] = useState<number | null>(null);
  const [rows, setRows] = useState<ReadonlyMap<number, Row>>(new Map());
  /** The pages in sight: where the first begins, and what is behind the last. */
  const [sight, setSight] = useState<readonly [number, number]>([0, PAGE]);
  const whole = useRef(new Set<number>());
  const stop = Math.min(sight[1], total ?? 0);
  const path = `experiments/${record.id}/${props.path}`;

  useLoad(
    async (signal) => setTotal((await get<Page<Row>>(path, { limit: 0 }, signal)).total),
    [record.id, record.entries],
  );
  useLoad(
    async (signal) => {
      for (let start = sight[0]; start < stop; start += PAGE) {
        if (whole.current.has(start)) continue;
        let at = start;
        for (let more = true; more && at < start + PAGE; ) {
          const page = await get<Page<Row>>(path, { start_index: at, limit: start + PAGE - at }, signal);
          setRows((before) => new Map([...before, ...page.data.map((row) => [row.index, row] as const)]));
          at = page.endIndex + 1;
          // long lines come a few at a time
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
  if (!total) return props.empty;
  return <Shown {...props} total={total} count={total} row={(index) => rows.get(index)} onRange={show} />;
}

/** Those that a filter keeps: found from the first on, a page after the other. Give it a key of its filter. */
export function FilteredLines<Row>(
  props: Props<Row> & { filter: Record<string, string | null> },
): JSX.Element {
  const { record } = props;
  const [rows, setRows] = useState<Row[]>([]);
  const [state, setState] = useState({ next: 0, total: 0, hasMore: true, answers: 0, rows: 0 });
  const [last, setLast] = useState(0);
  const loaded = state.answers > 0;
  // while there are more, the end must come into sight; then, the experiment must have got more
  const isDue = !loaded || (state.hasMore ? last >= rows.length : state.rows !== record.entries);

  useLoad(
    async (signal) => {
      if (!isDue) return;
      const page = await get<Page<Row>>(
        `experiments/${record.id}/${props.path}`,
        { ...props.filter, start_index: state.next, limit: PAGE },
        signal,
      );
      setRows((before) => [...before, ...page.data]);
      const { total, hasMore } = page;
      // a search that takes long is not begun anew whenever rows come: those are looked through afterwards
      setState({ next: page.endIndex + 1, total, hasMore, answers: state.answers + 1, rows: record.entries });
    },
    [record.id, isDue, state.answers],
    { delay: loaded ? 0 : 200 },
  );

  if (loaded && !rows.length) return <Empty title={`No ${props.noun}s match this filter.`} />;
  return (
    <Shown
      {...props}
      total={loaded ? state.total : null}
      count={rows.length}
      row={(index) => rows[index]}
      onRange={(_, behind) => setLast(behind)}
    />
  );
}

function Shown<Row>(
  props: Props<Row> & {
    total: number | null;
    count: number;
    row: (index: number) => Row | undefined;
    onRange: (first: number, behind: number) => void;
  },
): JSX.Element {
  return (
    <>
      <p class="muted" role="status">
        {props.total === null ? "Searching…" : several(props.total, props.noun)}
      </p>
      <VirtualList
        class="logs"
        role="log"
        label={props.label}
        count={props.count}
        rowHeight={ROW}
        follow={props.follow && props.active == null}
        {...(props.active == null ? {} : { active: props.active })}
        onRange={props.onRange}
        render={(index) => props.render(props.row(index), index)}
      />
    </>
  );
}
