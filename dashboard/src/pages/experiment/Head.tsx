/** Which experiment it is and how it stands, above all that it has. */

import { Bell } from "lucide-preact";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import type { Experiment } from "../../api/types";
import { diffPath, experimentPath } from "../../state/url";
import { Link, Status, Time } from "../../ui/basic";
import { duration, several, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { TerminalText } from "../../ui/TerminalText";
import { Actions } from "./changing/Actions";
import { stopText } from "./changing/changes";
import { TagList } from "./changing/TagList";
import { lasting } from "./lasting";

export function Head(props: { record: Experiment; onChange: (record: Experiment) => void }): JSX.Element {
  const { record } = props;
  return (
    <header class="experiment-head">
      <div class="experiment-title">
        <h1>{plain(record.name)}</h1>
        <Status of={record} />
        {!!record.alerts && (
          <Link class="bell" href={`${experimentPath(record.prefix)}?tab=alerts`} aria-label={several(record.alerts, "alert")} title={several(record.alerts, "alert")}>
            <Bell /> {whole(record.alerts)}
          </Link>
        )}
        <TagList {...props} />
        <span class="experiment-actions">
          <Link class="button" href={diffPath([record.prefix])}>
            Differences
          </Link>
          <Actions {...props} />
        </span>
      </div>
      <dl class="facts">
        <Fact name="Started">
          <Time at={record.startedAt} />
        </Fact>
        <Taken record={record} />
        <Fact name="Last activity">
          <Time at={record.lastActivity} />
        </Fact>
        <Fact name="Rows logged">{whole(record.rows)}</Fact>
        {record.host && <Fact name="Host">{record.host}</Fact>}
      </dl>
      <Stop record={record} />
      {record.error && (
        <pre class="problem error-text">
          <TerminalText text={record.error} />
        </pre>
      )}
      {record.problem && <p class="problem">{record.problem}</p>}
      {record.missing?.map((text) => (
        <p key={text} class="problem">
          {plain(text)}
        </p>
      ))}
    </header>
  );
}

/** That it is asked to stop, and what has come of that. */
function Stop({ record }: { record: Experiment }): JSX.Element | null {
  const text = stopText(record);
  if (!text || !record.stop) return null;
  return (
    <p class="hint" role="status">
      {plain(text.asked)} (<Time at={record.stop.at} />); {text.now}.
    </p>
  );
}

/** How long it takes: by the second while it goes on. */
function Taken({ record }: { record: Experiment }): JSX.Element | null {
  const [now, setNow] = useState(Date.now());
  const isLive = record.endedAt === null && !record.stale;
  useEffect(() => {
    if (!isLive) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [isLive]);
  const taken = lasting(record, now);
  if (!taken || taken.seconds === null) return null;
  return <Fact name={taken.label}>{duration(taken.seconds)}</Fact>;
}

function Fact(props: { name: string; children: JSX.Element | string }): JSX.Element {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}
