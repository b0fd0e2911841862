/** What can be done with the runs that are ticked. */

import { Archive, CircleStop, Diff, Eye, NotebookPen, Tag, Trash2, X } from "lucide-preact";
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import type { ListedExperiment } from "../../api/types";
import { mayWrite } from "../../state/session";
import { diffPath } from "../../state/url";
import { Link } from "../../ui/basic";
import { several } from "../../ui/format";
import { Popover } from "../../ui/Popover";
import { plain } from "../../ui/terminal";
import { archive, discard, type Done, note, stop, tag } from "./bulk";
import { listing, nameIn, nudge } from "./runs";
import { ticked } from "./selection";
import { isGrouped } from "./state";
import { show, view } from "./view";

export function BulkBar(): JSX.Element | null {
  const [done, setDone] = useState<Done | null>(null);
  const [isBusy, setBusy] = useState(false);
  const runs = listing.value.rows.filter((run) => ticked.value.has(run.id));
  if (!runs.length && !done) return null;
  const mayChange = runs.length > 0 && runs.every((run) => mayWrite(run.owner));

  async function act(task: () => Promise<Done>): Promise<void> {
    setBusy(true);
    try {
      setDone(await task());
      ticked.value = new Set();
      nudge.value += 1;
    } finally {
      setBusy(false);
    }
  }

  return (
    <div class="bulk" role="region" aria-label="Ticked runs" aria-busy={isBusy}>
      {runs.length > 0 ? (
        <>
          <b>{several(runs.length, "run")}</b>
          {!isGrouped.value && (
            <button type="button" class="icon" aria-label="Draw only these" title="Draw only these" onClick={() => drawOnly(runs)}>
              <Eye />
            </button>
          )}
          <Link class="icon" href={diffPath(runs.map((run) => run.prefix))} aria-label="Show how they differ" title="Show how they differ">
            <Diff />
          </Link>
          {mayChange && <Changes runs={runs} act={act} />}
          <button type="button" class="icon" aria-label="Untick all" title="Untick all (Esc)" onClick={() => (ticked.value = new Set())}>
            <X />
          </button>
        </>
      ) : (
        <>
          <span role="status">{done?.text}</span>
          {done?.undo && (
            <button type="button" disabled={isBusy} onClick={() => void act(done.undo!)}>
              Undo
            </button>
          )}
          <button type="button" class="icon" aria-label="Close" onClick={() => setDone(null)}>
            <X />
          </button>
        </>
      )}
    </div>
  );
}

function Changes({ runs, act }: { runs: readonly ListedExperiment[]; act: (task: () => Promise<Done>) => Promise<void> }): JSX.Element {
  const live = runs.filter((run) => run.status === "RUNNING");
  const tags = [...new Set(runs.flatMap((run) => run.tags))].sort();
  return (
    <>
      <Popover label="Tag" icon={<Tag />}>
        <Asked label="Add a tag" onDone={(text) => act(() => tag(runs, [text], [], `tagged ${text}`))} />
        {tags.map((each) => (
          <button key={each} type="button" onClick={() => void act(() => tag(runs, [], [each], `without ${each}`))}>
            Remove {plain(each)}
          </button>
        ))}
      </Popover>
      <Popover label="Note" icon={<NotebookPen />}>
        <Asked label="A note for each, in Markdown, behind what it has" isLong onDone={(text) => act(() => note(runs, text))} />
      </Popover>
      {live.length > 0 && (
        <button type="button" class="icon" aria-label="Ask to stop" title="Ask those that go on to stop" onClick={() => void act(() => stop(live))}>
          <CircleStop />
        </button>
      )}
      <button type="button" class="icon" aria-label="Archive" title="Archive: lists leave them out" onClick={() => void act(() => archive(runs))}>
        <Archive />
      </button>
      <button type="button" class="icon" aria-label="Move to trash" title="Move to trash" onClick={() => void act(() => discard(runs))}>
        <Trash2 />
      </button>
    </>
  );
}

function Asked(props: { label: string; isLong?: boolean; onDone: (text: string) => void }): JSX.Element {
  const [text, setText] = useState("");
  return (
    <form
      class="asked"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) props.onDone(text.trim());
      }}
    >
      <label>
        {props.label}
        {props.isLong ? (
          <textarea rows={4} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        ) : (
          <input value={text} onInput={(event) => setText(event.currentTarget.value)} />
        )}
      </label>
      <button type="submit" class="primary" disabled={!text.trim()}>
        Save
      </button>
    </form>
  );
}

function drawOnly(runs: readonly ListedExperiment[]): void {
  const { folder } = view.peek();
  show({ shown: "none", except: new Set(runs.map((run) => nameIn(run, folder))) });
}
