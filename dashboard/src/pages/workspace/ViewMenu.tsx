/** The views of a project: which one is shown, whether it was changed since, and saving it. */

import { Check, ChevronDown, Link2, Save, Trash2 } from "lucide-preact";
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import type { SavedView } from "../../api/types";
import { addressOf } from "../../state/base";
import { useLoad } from "../../state/poll";
import { mayWrite } from "../../state/session";
import { folderPath, query } from "../../state/url";
import { tell } from "../../ui/Notice";
import { Popover } from "../../ui/Popover";
import { plain } from "../../ui/terminal";
import { view } from "./view";
import { current, discard, FORMAT, isChanged, loadViews, open, openFirst, openPlain, project, save, views } from "./views";

export function ViewMenu(): JSX.Element | null {
  const of = project.value;
  const key = of?.join("/");
  const [problem, setProblem] = useState("");
  useLoad(
    async (signal) => {
      if (!of) return;
      await loadViews(of, signal);
      await openFirst(of, signal);
    },
    [key, query.value.get("v")],
    { onError: (error) => setProblem(error?.message ?? "") },
  );
  if (!of) return null;
  const shown = current.value;
  const isOlder = shown !== null && shown.format > FORMAT;

  async function told(task: () => Promise<void>): Promise<void> {
    setProblem("");
    try {
      await task();
    } catch (error) {
      setProblem((error as Error).message);
    }
  }

  return (
    <div class="view-menu">
      <Popover label={shown ? `Views: ${plain(shown.name)}` : "Views"} text={<>{shown ? plain(shown.name) : "Views"} <ChevronDown /></>}>
        <ViewList of={of} told={told} />
      </Popover>
      {isChanged.value && shown && (
        <>
          <span class="view-changed">unsaved</span>
          {(shown.mine || mayWrite(of[0])) && !isOlder && (
            <button type="button" class="quiet" onClick={() => void told(() => save(of, shown, shown))}>
              <Save /> Save
            </button>
          )}
        </>
      )}
      <CopyLink />
      {isOlder && <span class="warn">made by a newer version: not all of it may be shown</span>}
      {problem && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
    </div>
  );
}

function ViewList({ of, told }: { of: readonly [string, string]; told: (task: () => Promise<void>) => Promise<void> }): JSX.Element {
  const [name, setName] = useState("");
  const mayShare = mayWrite(of[0]);
  const [isMine, setMine] = useState(!mayShare);
  const [isDefault, setDefault] = useState(false);
  function add(event: Event): void {
    event.preventDefault();
    const panel = (event.currentTarget as HTMLElement).closest<HTMLElement>("[popover]");
    if (!name.trim()) return;
    void told(async () => {
      await save(of, { name: name.trim(), mine: isMine, default: isDefault }, null);
      panel?.hidePopover();
    });
  }
  return (
    <div class="view-list">
      <ul aria-label="Saved views">
        <li>
          <button type="button" class="view-name" onClick={openPlain}>
            As at first
          </button>
        </li>
        {views.value.map((each) => (
          <li key={`${each.mine} ${each.id}`}>
            <button
              type="button"
              class="view-name"
              aria-current={current.value?.id === each.id && current.value.mine === each.mine}
              onClick={() => void told(() => open(of, each))}
            >
              {plain(each.name)}
              <span class="muted">{[each.mine ? "mine" : (each.who ?? ""), each.default ? "default" : ""].filter(Boolean).join(", ")}</span>
            </button>
            {(each.mine || mayShare) && (
              <button type="button" class="icon" aria-label={`Delete ${each.name}`} onClick={() => void told(() => remove(of, each))}>
                <Trash2 />
              </button>
            )}
          </li>
        ))}
      </ul>
      <form onSubmit={add}>
        <label>
          Save what is shown as
          <input value={name} placeholder="losses by learning rate" onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        {mayShare && (
          <label class="toggle">
            <input type="checkbox" checked={isMine} onChange={(event) => setMine(event.currentTarget.checked)} /> only for me
          </label>
        )}
        <label class="toggle">
          <input type="checkbox" checked={isDefault} onChange={(event) => setDefault(event.currentTarget.checked)} /> show it by default
        </label>
        <button type="submit" class="primary" disabled={!name.trim()}>
          Save view
        </button>
      </form>
    </div>
  );
}

async function remove(of: readonly [string, string], view: SavedView): Promise<void> {
  const undo = await discard(of, view);
  tell({ text: `The view ${plain(view.name)} is deleted.`, ...(undo ? { undo } : {}) });
}

/** The shortest address of what is shown. */
function CopyLink(): JSX.Element | null {
  const [isCopied, setCopied] = useState(false);
  if (!("clipboard" in navigator)) return null;
  async function copy(): Promise<void> {
    const saved = current.peek();
    const short = saved && !saved.mine && !isChanged.peek() ? `${folderPath(view.peek().folder)}?v=${saved.id}` : null;
    await navigator.clipboard.writeText(short === null ? location.href : location.origin + addressOf(short));
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED);
  }
  return (
    <button
      type="button"
      class="quiet"
      aria-label={isCopied ? "Copied" : "Share"}
      title="Copy a link to what is shown"
      onClick={() => void copy()}
    >
      {isCopied ? <Check /> : <Link2 />} <span class="share-text">{isCopied ? "Copied" : "Share"}</span>
    </button>
  );
}
const COPIED = 2000;
