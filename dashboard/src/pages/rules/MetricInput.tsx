/** The name of a metric, as it is typed: a few that fit are offered, which the server looks up among all that there are. */

import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";

import { get } from "../../api/client";
import type { MetricNames } from "../../api/types";
import { useLoad } from "../../state/poll";
import { several } from "../../ui/format";
import { plain } from "../../ui/terminal";

const LISTED = 8;
/** Milliseconds without another key, after which it is asked for. */
const SETTLE = 150;
const NONE: MetricNames = { data: [], hasMore: false };

export function MetricInput(props: {
  /** What makes it a field of a form. */
  at: { id: string; "aria-invalid": boolean; "aria-describedby": string | undefined };
  value: string;
  /** Where metrics are looked for; "" where that is not known yet. */
  folder: string;
  onInput: (value: string) => void;
}): JSX.Element {
  const { folder, value } = props;
  const list = useId();
  const [found, setFound] = useState<MetricNames>(NONE);
  const [isOpen, setOpen] = useState(false);
  // by its name: the same question may be answered once more while somebody chooses
  const [marked, setMarked] = useState<string | null>(null);
  useLoad(
    async (signal) => {
      if (!isOpen || !folder) return setFound(NONE);
      setFound(await get<MetricNames>("rules/metrics", { folder, search: value.trim(), limit: String(LISTED) }, signal));
    },
    [isOpen, folder, value],
    // what cannot be offered can be typed all the same
    { delay: SETTLE, onError: () => setFound(NONE) },
  );
  const offered = isOpen ? found.data.filter((name) => name !== value) : [];
  const at = marked === null ? -1 : offered.indexOf(marked);
  const chosen = offered[at];

  function take(name: string): void {
    props.onInput(name);
    setOpen(false);
    setMarked(null);
  }

  function onKey(event: KeyboardEvent): void {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) return setOpen(true);
      if (!offered.length) return;
      const step = event.key === "ArrowDown" ? 1 : -1;
      setMarked(offered[((at === -1 && step === -1 ? 0 : at) + step + offered.length) % offered.length]!);
    } else if (event.key === "Enter" && chosen !== undefined) {
      // the form is not sent by it
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Escape" && offered.length) {
      // nor is its dialog closed
      event.preventDefault();
      event.stopPropagation();
      setOpen(false);
    }
  }

  return (
    <div class="rule-metric">
      <input
        {...props.at}
        role="combobox"
        aria-autocomplete="list"
        aria-expanded={offered.length > 0}
        aria-controls={list}
        aria-activedescendant={chosen === undefined ? undefined : `${list}-${at}`}
        value={value}
        placeholder="val/loss"
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => {
          setOpen(true);
          setMarked(null);
          props.onInput(event.currentTarget.value);
        }}
        onFocus={() => setOpen(true)}
        onClick={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={onKey}
      />
      <ul id={list} class="offers" role="listbox" aria-label="Metrics" hidden={!offered.length}>
        {offered.map((name, index) => (
          <li
            key={name}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            // the field keeps the focus
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => take(name)}
          >
            <code title={name}>{plain(name)}</code>
          </li>
        ))}
        {found.hasMore && (
          <li role="presentation" class="muted">
            and more: type a part of the name
          </li>
        )}
      </ul>
      <span class="rule-told" role="status">
        {offered.length > 0 && `${several(offered.length, "metric")}${found.hasMore ? " and more" : ""}: choose by the arrow keys`}
      </span>
    </div>
  );
}
