/** The tracks of an experiment: entries by topic and time. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { get } from "../../api/client";
import type { Entries, Experiment, Track, Tracks } from "../../api/types";
import { useLoad, usePoll } from "../../state/poll";
import { query, setQuery } from "../../state/url";
import { Empty, Select } from "../../ui/basic";
import { text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { VirtualList } from "../../ui/VirtualList";

type Entry = Record<string, unknown> & { timestamp: number };
type Topic = Track & { topic: string };

const AGAIN = 30_000;
const PAGE = 1000;
const ROW = 26;

export function TracksTab({ record }: { record: Experiment }): JSX.Element {
  const [topics, setTopics] = useState<Topic[] | null>(null);
  const topic = query.value.get("topic") ?? topics?.[0]?.topic ?? null;
  usePoll(
    async (signal) => {
      const found: Track[] = [];
      for (let total = Number.POSITIVE_INFINITY; found.length < total; ) {
        const page = await get<Tracks>(`experiments/${record.id}/tracks`, { start: found.length }, signal);
        found.push(...page.data);
        total = page.data.length ? page.total : 0;
      }
      setTopics(found.filter((track): track is Topic => track.topic !== null));
    },
    AGAIN,
    [record.id, record.entries],
  );
  if (!topics) return <p class="loading">Loading…</p>;
  if (!topics.length) {
    return <Empty title="This run has no tracks" hint="A track has values at times of their own, such as a robot's pose:" code={`exp.tracks("robot/pose").append(x=1.0, y=2.0)`} />;
  }
  return (
    <>
      <div class="controls">
        <Select
          label="Topic"
          value={topic ?? ""}
          options={topics.map((each) => [each.topic, `${plain(each.topic)} (${whole(each.count)})`] as const)}
          onChange={(next) => setQuery({ topic: next })}
        />
      </div>
      {topic !== null && <EntryList key={topic} record={record} topic={topic} />}
    </>
  );
}

/** The entries of a track from the first on, a page after the other as the end comes into sight. */
function EntryList({ record, topic }: { record: Experiment; topic: string }): JSX.Element {
  const [state, setState] = useState<{ entries: Entry[]; cursor: string | null; hasMore: boolean; rows: number }>({
    entries: [],
    cursor: null,
    hasMore: true,
    rows: -1,
  });
  const [last, setLast] = useState(0);
  const { entries } = state;
  // where all are here, the experiment must have got more rows
  const isDue = state.rows < 0 || (state.hasMore ? last >= entries.length : state.rows !== record.entries);
  useLoad(
    async (signal) => {
      if (!isDue) return;
      // what is new is mostly behind the end; a short track is read anew, since it may lie anywhere
      const isNew = entries.length <= PAGE && !state.hasMore;
      const page = await get<Entries>(
        `experiments/${record.id}/tracks/entries`,
        { topic, limit: PAGE, cursor: isNew ? null : state.cursor },
        signal,
      );
      setState({
        entries: [...(isNew ? [] : entries), ...(page.entries as Entry[])],
        cursor: page.cursor ?? state.cursor,
        hasMore: page.hasMore,
        rows: record.entries,
      });
    },
    [record.id, isDue, state],
  );
  return (
    <VirtualList
      class="logs"
      label="Entries"
      count={entries.length}
      rowHeight={ROW}
      onRange={(_, behind) => setLast(behind)}
      render={(index) => {
        const { timestamp, ...fields } = entries[index]!;
        return (
          <div key={index} class="log" style={{ height: `${ROW}px` }}>
            <time>{timestamp.toFixed(3)}</time>
            {Object.entries(fields).map(([name, value]) => (
              <span key={name} class="log-field">
                {plain(name)}=<b>{text(value)}</b>
              </span>
            ))}
          </div>
        );
      }}
    />
  );
}
