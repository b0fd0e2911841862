/** The tags of an experiment, which whoever may write can change. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import type { Experiment } from "../../../api/types";
import { mayWrite } from "../../../state/session";
import { Tags } from "../../../ui/basic";
import { tell } from "../../../ui/Notice";
import { plain } from "../../../ui/terminal";
import { changeTags, problemOfTag, type TagNews } from "./changes";

export function TagList(props: { record: Experiment; onChange: (record: Experiment) => void }): JSX.Element {
  const { record } = props;
  const [text, setText] = useState<string | null>(null);
  if (!mayWrite(record.owner)) return <Tags tags={record.tags} />;

  async function change(news: TagNews): Promise<void> {
    try {
      props.onChange(await changeTags(record, news));
    } catch (error) {
      tell({ text: (error as Error).message, isProblem: true });
    }
  }

  async function add(): Promise<void> {
    const tag = (text ?? "").trim();
    const problem = tag ? problemOfTag(tag, record.tags) : null;
    if (problem) return tell({ text: problem, isProblem: true });
    setText(tag ? "" : null);
    if (tag) await change({ add: [tag] });
  }

  return (
    <span class="tags" role="group" aria-label="Tags">
      {record.tags.map((tag) => (
        <span key={tag} class="tag">
          {plain(tag)}
          <button type="button" aria-label={`Remove tag ${tag}`} onClick={() => void change({ remove: [tag] })}>
            ×
          </button>
        </span>
      ))}
      {text === null ? (
        <button type="button" class="quiet" onClick={() => setText("")}>
          + tag
        </button>
      ) : (
        <input
          class="tag-input"
          aria-label="New tag"
          placeholder="New tag, Enter"
          value={text}
          spellcheck={false}
          ref={focused}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") void add();
            if (event.key === "Escape") {
              event.stopPropagation();
              setText(null);
            }
          }}
          onBlur={() => !text && setText(null)}
        />
      )}
    </span>
  );
}

/** Have what has just taken the place of the button in focus have the focus; never take it from anything else. */
function focused(element: HTMLInputElement | null): void {
  if (document.activeElement === document.body) element?.focus();
}
