/** When each attempt of an experiment ran, how it ended, and from where it went on. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { get } from "../../../api/client";
import { encode } from "../../../api/json";
import type { Attempt, Attempts as Page, Experiment } from "../../../api/types";
import { usePoll } from "../../../state/poll";
import { now, Status } from "../../../ui/basic";
import { clean, duration, localTime, whole } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { timeline } from "./timeline";

const AGAIN = 30_000;
const SHOWN = 50;

export function Attempts({ record }: { record: Experiment }): JSX.Element | null {
  const [attempts, setAttempts] = useState<Attempt[]>([]);
  usePoll(
    async (signal) => {
      const { data } = await get<Page>(`experiments/${record.id}/attempts`, { limit: SHOWN }, signal);
      setAttempts((before) => (encode(before) === encode(data) ? before : data));
    },
    AGAIN,
    [record.id, record.attempts, record.status],
  );
  if (record.attempts < 2 || !attempts.length) return null;
  const spans = timeline(attempts, Math.max(now.value, Date.parse(record.lastActivity ?? "") || 0));
  return (
    <section class="card" aria-label="Attempts">
      <h2>
        Attempts <span class="count">{whole(record.attempts)}</span>
      </h2>
      <ol class="attempts" reversed start={attempts[0]!.number}>
        {attempts.map((each, at) => {
          const { left, width, seconds } = spans[at]!;
          return (
            <li key={each.number}>
              <div class="attempt-head">
                <b>{each.number}</b> <Status of={each} />
                <span class="muted">{each.stale ? "ended without a word" : duration(seconds)}</span>
                {each.resumeFrom !== null && <span class="muted">from step {clean(each.resumeFrom)}</span>}
              </div>
              <svg class="attempt-bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
                <rect class="attempt-ground" width="100" height="6" />
                <rect class={`attempt-${each.status?.toLowerCase() ?? "unknown"}`} x={left * 100} width={Math.max(0.8, width * 100)} height="6" />
              </svg>
              <div class="muted attempt-foot">
                {localTime(each.startedAt)}
                {each.host && ` on ${plain(each.host)}`}
              </div>
              {each.error && <p class="problem attempt-error">{plain(each.error.trim().split("\n").at(-1)!)}</p>}
            </li>
          );
        })}
      </ol>
      {record.attempts > attempts.length && <p class="muted">and {whole(record.attempts - attempts.length)} before these</p>}
    </section>
  );
}
