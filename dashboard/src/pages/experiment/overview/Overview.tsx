/** What the experiment says of itself and what people say of it, with what it ran, and on what. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { get } from "../../../api/client";
import type { Experiment, Files, Logs, Run } from "../../../api/types";
import { usePoll } from "../../../state/poll";
import { mayWrite } from "../../../state/session";
import { localTime, text, whole } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { TextCard } from "../changing/TextCard";
import { Attempts } from "./Attempts";
import { Params } from "./Params";
import { Failure, Surroundings, useEnvironments } from "./Surroundings";

const AGAIN = 30_000;

interface Counts {
  logs: number;
  files: number;
  run: Run;
}

export function Overview(props: {
  record: Experiment;
  /** How many there are; null until that is known. */
  metrics: number | null;
  onChange: (record: Experiment) => void;
}): JSX.Element {
  const { record } = props;
  const processes = useEnvironments(record);
  return (
    <div class="overview">
      <div class="overview-column">
        {processes && <Failure processes={processes} attempts={record.attempts} />}
        {(mayWrite(record.owner) || record.note) && (
          <TextCard kind="note" title="Note" begin="Write a note" record={record} onChange={props.onChange}>
            <p class="muted">What was tried here, what came out, what to try next.</p>
          </TextCard>
        )}
        <TextCard
          kind="readme"
          title="Readme"
          begin="Write a readme"
          record={record}
          onChange={props.onChange}
          hint="A run that starts again with a readme of its own has it replaced; a note stays."
        >
          <p class="muted">
            There is no readme: <code>{`Experiment("${plain(record.prefix)}", readme="# What this is")`}</code>
          </p>
        </TextCard>
        <Params record={record} />
      </div>
      <div class="overview-column">
        <Facts record={record} metrics={props.metrics} />
        <Attempts record={record} />
        {processes && <Surroundings processes={processes} />}
      </div>
    </div>
  );
}

function Facts({ record, metrics }: { record: Experiment; metrics: number | null }): JSX.Element {
  const [counts, setCounts] = useState<Counts | null>(null);
  usePoll(
    async (signal) => {
      const path = `experiments/${record.id}`;
      const [logs, files, run] = await Promise.all([
        get<Logs>(`${path}/logs`, { limit: 0 }, signal),
        get<Files>(`${path}/files`, { limit: 0 }, signal),
        get<Run>(`${path}/run`, {}, signal),
      ]);
      setCounts({ logs: logs.total, files: files.total, run });
    },
    AGAIN,
    [record.id, record.entries],
  );
  const facts: (readonly [string, string])[] = [
    ["Prefix", record.prefix],
    ["Id", record.id],
    ["Created", localTime(record.createdAt)],
    ["Started", record.startedAt ? localTime(record.startedAt) : "–"],
    ["Ended", record.endedAt ? localTime(record.endedAt) : "–"],
    ["Host", record.host ?? "–"],
    ["Process id", counts?.run.pid == null ? "–" : String(counts.run.pid)],
    ["Processes that wrote", counts ? whole(counts.run.writers) : "…"],
    ["Metrics", metrics === null ? "…" : whole(metrics)],
    ["Rows of metrics", whole(record.rows)],
    ["Log messages", counts ? whole(counts.logs) : "…"],
    ["Files", counts ? whole(counts.files) : "…"],
    ...(record.bindrs.length ? [["bindrs", record.bindrs.join(", ")] as const] : []),
    ...Object.entries(record.metadata ?? {}).map(([name, value]) => [name, text(value)] as const),
  ];
  return (
    <section aria-label="Facts" class="card">
      <h2>Run</h2>
      <table class="pairs">
        <tbody>
          {facts.map(([name, value], at) => (
            <tr key={at}>
              <th scope="row">{plain(name)}</th>
              <td>{plain(value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
