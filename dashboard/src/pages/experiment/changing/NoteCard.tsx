/** What people have written of an experiment, in Markdown; whoever may write can change it. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import type { Experiment } from "../../../api/types";
import { mayWrite } from "../../../state/session";
import { MarkdownText } from "../MarkdownText";
import { ChangedMeanwhile, writeNote } from "./changes";

interface Draft {
  text: string;
  /** What the note was when it was begun. */
  before: string;
}

/** Have what has taken the place of the button in focus have the focus. */
function focused(element: HTMLTextAreaElement | null): void {
  if (document.activeElement === document.body) element?.focus();
}

export function NoteCard(props: { record: Experiment; onChange: (record: Experiment) => void }): JSX.Element | null {
  const { record, onChange } = props;
  const [draft, setDraft] = useState<Draft | null>(null);
  const [problem, setProblem] = useState("");
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const note = record.note ?? "";
  const may = mayWrite(record.owner);
  const preview = useMemo(() => (draft && shown ? draft.text : note), [draft, shown, note]);
  if (!may && !note) return null;

  function close(): void {
    setDraft(null);
    setProblem("");
    setShown(false);
  }

  async function save(): Promise<void> {
    if (!draft || busy) return;
    setBusy(true);
    try {
      onChange(await writeNote(record, draft.text.trim() ? draft.text : "", draft.before));
      close();
    } catch (error) {
      if (error instanceof ChangedMeanwhile) {
        const theirs = error.record.note ?? "";
        onChange(error.record);
        setDraft({ text: `${theirs}\n\n${draft.text}`.trim(), before: theirs });
        setProblem("Somebody has changed this note meanwhile: what they wrote stands above yours now. Save once more.");
      } else {
        setProblem((error as Error).message);
      }
    }
    setBusy(false);
  }

  return (
    <section aria-label="Note" class="card note-card">
      <div class="section-head">
        <h2>Note</h2>
        {may && !draft && (
          <button type="button" class="quiet" onClick={() => setDraft({ text: note, before: note })}>
            {note ? "Edit" : "Write a note"}
          </button>
        )}
        {draft && (
          <button type="button" class="quiet" aria-pressed={shown} onClick={() => setShown(!shown)}>
            Preview
          </button>
        )}
      </div>
      {draft && !shown && (
        <textarea
          aria-label="Note in Markdown"
          value={draft.text}
          rows={Math.min(24, Math.max(6, draft.text.split("\n").length + 1))}
          ref={focused}
          onInput={(event) => setDraft({ ...draft, text: event.currentTarget.value })}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void save();
            if (event.key === "Escape" && draft.text === draft.before) close();
          }}
        />
      )}
      {(!draft || shown) && preview && <MarkdownText record={record} text={preview} />}
      {!draft && !note && <p class="muted">What was tried here, what came out, what to try next.</p>}
      {problem && <p class="problem">{problem}</p>}
      {draft && (
        <p class="dialog-end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="button" class="primary" disabled={busy} onClick={() => void save()}>
            Save
          </button>
        </p>
      )}
    </section>
  );
}
