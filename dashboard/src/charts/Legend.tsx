/** The names of a chart's lines; each can be hidden. */

import type { JSX } from "preact";

import { plain } from "../ui/terminal";
import type { Line } from "./load";

export function Legend(props: {
  lines: readonly Line[];
  hidden: ReadonlySet<string>;
  onHide: (hidden: ReadonlySet<string>) => void;
}): JSX.Element {
  function toggle(key: string): void {
    const next = new Set(props.hidden);
    if (!next.delete(key)) next.add(key);
    props.onHide(next);
  }
  return (
    <div class="legend" role="group" aria-label="Lines">
      {props.lines.map((line) => (
        <button
          key={line.key}
          type="button"
          class="legend-line"
          aria-pressed={!props.hidden.has(line.key)}
          onClick={() => toggle(line.key)}
        >
          <span class="swatch" style={{ background: line.color }} />
          {plain(line.label)}
        </button>
      ))}
    </div>
  );
}
