/** What whoever may write can do with an experiment as a whole: rename or move it, put it aside, put it into the trash. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { ApiError } from "../../../api/client";
import type { DeletedExperiment, Experiment } from "../../../api/types";
import { mayWrite } from "../../../state/session";
import { experimentPath, folderPath, navigate } from "../../../state/url";
import { Dialog } from "../../../ui/Dialog";
import { Menu } from "../../../ui/basic";
import { tell } from "../../../ui/Notice";
import { plain } from "../../../ui/terminal";
import { ARCHIVED, askToStop, cancelStop, changeTags, problemOfName, rename, restore, toTrash } from "./changes";

interface Props {
  record: Experiment;
  onChange: (record: Experiment) => void;
}

export function Actions({ record, onChange }: Props): JSX.Element | null {
  const [asked, setAsked] = useState<"name" | "running" | null>(null);
  if (!mayWrite(record.owner)) return null;
  const isArchived = record.tags.includes(ARCHIVED);

  async function archive(): Promise<void> {
    const [put, taken] = [{ add: [ARCHIVED] }, { remove: [ARCHIVED] }];
    const undo = async (): Promise<void> => onChange(await changeTags(record, isArchived ? put : taken));
    await told(async () => {
      onChange(await changeTags(record, isArchived ? taken : put));
      tell({ text: `${plain(record.name)} is ${isArchived ? "in lists again" : "archived"}.`, undo });
    });
  }

  async function stop(): Promise<void> {
    await told(async () => {
      onChange(await askToStop(record));
      const undo = async (): Promise<void> => onChange(await cancelStop(record));
      tell({ text: `The run of ${plain(record.name)} is asked to stop.`, undo });
    });
  }

  async function discard(force: boolean): Promise<void> {
    setAsked(null);
    await told(async () => {
      let gone: DeletedExperiment;
      try {
        gone = await toTrash(record, force);
      } catch (error) {
        if (error instanceof ApiError && error.code === "running") return setAsked("running");
        throw error;
      }
      const undo = async (): Promise<void> => navigate(experimentPath((await restore(gone)).prefix));
      navigate(folderPath(record.prefix.split("/").slice(0, -1).join("/")));
      tell({ text: `${plain(record.prefix)} is in the trash.`, undo });
    });
  }

  return (
    <>
      <Menu label="Change">
        <div class="menu-items" onClick={fold}>
          <button type="button" onClick={() => setAsked("name")}>
            Rename or move…
          </button>
          <button type="button" onClick={() => void archive()}>
            {isArchived ? "Take out of the archive" : "Archive"}
          </button>
          {record.status === "RUNNING" && !record.stop && (
            <button type="button" onClick={() => void stop()}>
              Ask to stop
            </button>
          )}
          {record.status === "RUNNING" && record.stop && !record.stop.seenAt && (
            <button type="button" onClick={() => void told(async () => onChange(await cancelStop(record)))}>
              Ask to stop no more
            </button>
          )}
          <button type="button" class="danger" onClick={() => void discard(false)}>
            Move to trash
          </button>
        </div>
      </Menu>
      {asked === "name" && <NewName record={record} onClose={() => setAsked(null)} />}
      {asked === "running" && (
        <Dialog title="A run goes on" onClose={() => setAsked(null)}>
          <p>
            A run of {plain(record.name)} goes on. What it logs from now on stays on the disk that it writes to. Everything
            that is here can be restored.
          </p>
          <p class="dialog-end">
            <button type="button" onClick={() => setAsked(null)}>
              Cancel
            </button>
            <button type="button" class="danger" onClick={() => void discard(true)}>
              Move to trash all the same
            </button>
          </p>
        </Dialog>
      )}
    </>
  );
}

/** Close the menu in which something was chosen. */
function fold(event: JSX.TargetedMouseEvent<HTMLElement>): void {
  const menu = event.currentTarget.closest("details");
  if (menu) menu.open = false;
}

function NewName({ record, onClose }: { record: Experiment; onClose: () => void }): JSX.Element {
  const [to, setTo] = useState(record.prefix);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const wrong = problemOfName(to, record.owner);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (wrong || busy) return setProblem(wrong ?? "");
    if (to === record.prefix) return onClose();
    setBusy(true);
    try {
      const moved = await rename(record, to);
      // of a root, another name is another id
      const undo = async (): Promise<void> => navigate(experimentPath((await rename(moved, record.prefix)).prefix));
      onClose();
      navigate(experimentPath(moved.prefix), { replace: true });
      tell({ text: `It is called ${plain(moved.prefix)} now.`, undo });
    } catch (error) {
      setProblem((error as Error).message);
      setBusy(false);
    }
  }

  return (
    <Dialog title="Rename or move" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <label class="field wide">
          <span>Name, with owner, project and folders</span>
          <input
            value={to}
            spellcheck={false}
            autocomplete="off"
            autofocus
            onInput={(event) => (setTo(event.currentTarget.value), setProblem(""))}
          />
        </label>
        {(problem || (wrong && to !== record.prefix)) && <p class="problem">{problem || wrong}</p>}
        <p class="dialog-end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy || wrong !== null}>
            Rename
          </button>
        </p>
      </form>
    </Dialog>
  );
}

/** Do something, and say why where it cannot be done. */
async function told(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    tell({ text: (error as Error).message, isProblem: true });
  }
}
