/** The names of a chart's lines; each can be hidden. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { whole } from "../ui/format";
import { plain } from "../ui/terminal";
import type { Line } from "./load";

/** More are shown on demand: they would take more room than the lines. */
const FEW = 12;

export function Legend(props: {
  lines: readonly Line[];
  hidden: ReadonlySet<string>;
  onHide: (hidden: ReadonlySet<string>) => void;
}): JSX.Element {
  const [all, setAll] = useState(false);
  const { lines } = props;
  const shown = all || lines.length <= FEW + 1 ? lines : lines.slice(0, FEW);
  function toggle(key: string): void {
    const next = new Set(props.hidden);
    if (!next.delete(key)) next.add(key);
    props.onHide(next);
  }
  return (
    <div class="legend" role="group" aria-label="Lines">
      {shown.map((line) => (
        <button
          key={line.key}
          type="button"
          class="legend-line"
          aria-pressed={!props.hidden.has(line.key)}
          onClick={() => toggle(line.key)}
        >
          <span class="swatch" style={{ background: line.color }} />
          <span class="legend-name">{plain(line.label)}</span>
        </button>
      ))}
      {shown.length < lines.length && (
        <button type="button" class="legend-line legend-more" onClick={() => setAll(true)}>
          and {whole(lines.length - shown.length)} more
        </button>
      )}
      {all && lines.length > FEW + 1 && (
        <button type="button" class="legend-line legend-more" onClick={() => setAll(false)}>
          fewer
        </button>
      )}
    </div>
  );
}
