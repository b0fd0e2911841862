/** The tracks of an experiment: entries by topic and time. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { get } from "../../api/client";
import type { Experiment } from "../../api/types";
import { usePoll } from "../../state/poll";
import { query, setQuery } from "../../state/url";
import { Empty, Select } from "../../ui/basic";
import { text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { VirtualList } from "../../ui/VirtualList";

type Entry = Record<string, unknown> & { timestamp: number };

const AGAIN = 30_000;
const ROW = 26;

export function TracksTab({ record }: { record: Experiment }): JSX.Element {
  const [topics, setTopics] = useState<{ topic: string; count: number }[] | null>(null);
  const [entries, setEntries] = useState<Entry[]>([]);
  const topic = query.value.get("topic") ?? topics?.[0]?.topic ?? null;
  usePoll(
    async (signal) => {
      const path = `experiments/${record.id}/tracks`;
      setTopics((await get<{ data: { topic: string; count: number }[] }>(path, {}, signal)).data);
      if (topic === null) return;
      setEntries((await get<{ entries: Entry[] }>(`${path}/entries`, { topic }, signal)).entries);
    },
    AGAIN,
    [record.id, record.rows, topic],
  );
  if (!topics) return <p class="loading">Loading…</p>;
  if (!topics.length) {
    return <Empty title="This experiment has no tracks." code={`exp.tracks("robot/pose").append(x=1.0, y=2.0)`} />;
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
      <VirtualList
        class="logs"
        label="Entries"
        count={entries.length}
        rowHeight={ROW}
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
    </>
  );
}
