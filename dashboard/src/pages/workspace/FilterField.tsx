/** The filter of the run set: what may come next is offered, and what is not understood is marked where it is. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { plain } from "../../ui/terminal";
import { type Completion, completions, KnownNames } from "./complete";
import { listing } from "./runs";
import { metrics } from "./state";
import { show, view } from "./view";

const SETTLE = 250;
const names = new KnownNames();

export function FilterField(): JSX.Element {
  const given = view.value.filter;
  const [text, setText] = useState(given);
  const [caret, setCaret] = useState<number | null>(null);
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  // another view, or the way back in the history
  useEffect(() => {
    if (document.activeElement !== input.current) setText(given);
  }, [given]);
  const { asked, rows } = listing.value;
  const known = useMemo(() => names.learn(asked?.folder ?? "", rows, metrics.value), [asked, rows, metrics.value]);
  const offered = useMemo(() => (caret === null ? [] : completions(text, caret, known)), [text, caret, known]);

  function write(next: string, now = false): void {
    setText(next);
    setAt(-1);
    if (timer.current !== null) clearTimeout(timer.current);
    timer.current = setTimeout(() => show({ filter: next.trim() }), now ? 0 : SETTLE);
  }

  function take({ text: next, caret: behind }: Completion): void {
    write(next);
    setCaret(behind);
    // At once: whoever types on before the next frame would have the caret put back in the middle.
    const field = input.current;
    if (!field) return;
    field.value = next;
    field.setSelectionRange(behind, behind);
  }

  function onKey(event: KeyboardEvent): void {
    const chosen = offered[at];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!offered.length) return;
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt(((at === -1 && step === -1 ? 0 : at) + step + offered.length) % offered.length);
    } else if (event.key === "Tab" && !event.shiftKey && offered.length && text) {
      event.preventDefault();
      take(chosen ?? offered[0]!);
    } else if (event.key === "Enter") {
      if (chosen) take(chosen);
      else {
        write(text, true);
        setCaret(null);
      }
    } else if (event.key === "Escape") {
      // a browser would empty the field
      event.preventDefault();
      event.stopPropagation();
      if (offered.length) setCaret(null);
      else input.current?.blur();
    }
  }

  const { problems } = listing.value;
  return (
    <div class="filter">
      <input
        ref={input}
        class="search"
        type="search"
        role="combobox"
        aria-label="Filter runs"
        aria-expanded={offered.length > 0}
        aria-controls="filter-offers"
        aria-autocomplete="list"
        aria-activedescendant={at >= 0 ? `filter-offer-${at}` : undefined}
        placeholder="Filter: lr<0.01 max(val/acc)>0.9"
        value={text}
        spellcheck={false}
        autocomplete="off"
        data-main-search=""
        onInput={(event) => {
          write(event.currentTarget.value);
          setCaret(event.currentTarget.selectionStart);
        }}
        onFocus={(event) => setCaret(event.currentTarget.selectionStart)}
        onClick={(event) => setCaret(event.currentTarget.selectionStart)}
        onBlur={() => setCaret(null)}
        onKeyDown={onKey}
      />
      <ul id="filter-offers" class="offers" role="listbox" aria-label="What may come next" hidden={!offered.length}>
        {offered.map((each, index) => (
          <li
            key={each.label}
            id={`filter-offer-${index}`}
            role="option"
            aria-selected={index === at}
            // the field keeps the focus
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => take(each)}
          >
            <code>{plain(each.label)}</code>
            <span class="muted">{each.kind}</span>
          </li>
        ))}
      </ul>
      <div aria-live="polite">
        {problems.map(({ start, stop, message }) => (
          <p key={`${start} ${message}`} class="problem filter-problem">
            <code>
              {given.slice(0, start)}
              <mark>{given.slice(start, stop)}</mark>
              {given.slice(stop)}
            </code>{" "}
            {message}
          </p>
        ))}
      </div>
    </div>
  );
}
