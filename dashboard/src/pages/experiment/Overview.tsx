/** What the experiment says of itself, and what it has. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import { get } from "../../api/client";
import type { Experiment, Files, Logs, Metric, Run } from "../../api/types";
import { usePoll } from "../../state/poll";
import { Empty } from "../../ui/basic";
import { text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { readmeHtml } from "./markdown";

const AGAIN = 30_000;

interface Counts {
  logs: number;
  files: number;
  run: Run;
}

export function Overview(props: { record: Experiment; metrics: Metric[] | null }): JSX.Element {
  const { record, metrics } = props;
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
  const html = useMemo(() => (record.readme ? readmeHtml(record.readme) : null), [record.readme]);
  const facts: [string, string][] = [
    ["Prefix", record.prefix],
    ["Id", record.id],
    ["Rows", whole(record.rows)],
    ...(record.attempts > 1 ? [["Attempts", whole(record.attempts)] as [string, string]] : []),
    ["Metrics", metrics ? whole(metrics.length) : "…"],
    ["Log messages", counts ? whole(counts.logs) : "…"],
    ["Files", counts ? whole(counts.files) : "…"],
    ["Writers", counts ? whole(counts.run.writers) : "…"],
    ["Host", record.host ?? "–"],
    ["Process id", counts?.run.pid == null ? "–" : String(counts.run.pid)],
    ["Created", record.createdAt],
    ["Started", record.startedAt ?? "–"],
    ["Ended", record.endedAt ?? "–"],
    ["Binders", record.bindrs.join(", ") || "–"],
  ];
  return (
    <div class="overview">
      <section aria-label="Readme" class="card readme">
        {html === null ? (
          <Empty title="This experiment has no readme." code={`Experiment("${record.prefix}", readme="# What this is")`} />
        ) : (
          <div class="markdown" dangerouslySetInnerHTML={{ __html: html }} />
        )}
      </section>
      <section aria-label="Facts" class="card">
        <table class="pairs">
          <tbody>
            {facts.map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{plain(value)}</td>
              </tr>
            ))}
            {Object.entries(record.metadata ?? {}).map(([name, value]) => (
              <tr key={`metadata ${name}`}>
                <th scope="row">{plain(name)}</th>
                <td>{text(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  );
}
