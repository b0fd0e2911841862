/** The note on an experiment, or its readme, in Markdown; whoever may write can change it. */

import type { ComponentChildren, JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import type { Experiment } from "../../../api/types";
import { useDraft } from "../../../state/drafts";
import { mayWrite } from "../../../state/session";
import { tell } from "../../../ui/Notice";
import { MarkdownText } from "../MarkdownText";
import { ChangedMeanwhile, type TextKind, writeText } from "./changes";

interface Draft {
  text: string;
  /** What it was when it was begun. */
  before: string;
}

/** Have what has taken the place of the button in focus have the focus. */
function focused(element: HTMLTextAreaElement | null): void {
  if (document.activeElement === document.body) element?.focus();
}

export function TextCard(props: {
  kind: TextKind;
  title: string;
  /** What the button says where there is none yet. */
  begin: string;
  record: Experiment;
  onChange: (record: Experiment) => void;
  /** What stands there where there is none. */
  children: ComponentChildren;
  /** What is good to know of what one changes. */
  hint?: string;
}): JSX.Element {
  const { kind, title, record, onChange } = props;
  const [begun, setDraft] = useDraft<Draft>(`${kind} ${record.id}`, ({ text, before }) => text !== before);
  const [problem, setProblem] = useState("");
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const written = record[kind] ?? "";
  const may = mayWrite(record.owner);
  // it may have been begun with another token
  const draft = may ? begun : null;
  const preview = useMemo(() => (draft && shown ? draft.text : written), [draft, shown, written]);

  function close(): void {
    setDraft(null);
    setProblem("");
    setShown(false);
  }

  async function save(): Promise<void> {
    if (!draft || busy) return;
    setBusy(true);
    const { text, before } = draft;
    const next = text.trim() ? text : "";
    try {
      onChange(await writeText(record, kind, next, before));
      close();
      if (next !== before) {
        const undo = async (): Promise<void> => onChange(await writeText(record, kind, before, next));
        tell({ text: `The ${kind} is ${next ? "saved" : "gone"}.`, undo });
      }
    } catch (error) {
      if (error instanceof ChangedMeanwhile) {
        const theirs = error.record[kind] ?? "";
        onChange(error.record);
        setDraft({ text: `${theirs}\n\n${text}`.trim(), before: theirs });
        setProblem(`Somebody has changed this ${kind} meanwhile: what they wrote stands above yours now. Save once more.`);
        setShown(false);
      } else {
        setProblem((error as Error).message);
      }
    }
    setBusy(false);
  }

  return (
    <section aria-label={title} class={`card ${kind}-card`}>
      <div class="section-head">
        <h2>{title}</h2>
        {may && !draft && (
          <button type="button" class="quiet" aria-label={written ? `Edit the ${kind}` : undefined} onClick={() => setDraft({ text: written, before: written })}>
            {written ? "Edit" : props.begin}
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
          aria-label={`${title} in Markdown`}
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
      {draft && shown && !preview && <p class="muted">Nothing is written yet.</p>}
      {!draft && !written && props.children}
      {draft && props.hint && <p class="muted">{props.hint}</p>}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
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
