/** Putting a chart together: several metrics in one, or what is reckoned of them. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { charts } from "./state";
import { show, view } from "./view";

export function NewChart(): JSX.Element {
  const [lines, setLines] = useState("");
  const [title, setTitle] = useState("");
  const said = lines.split("\n").map((line) => line.trim()).filter(Boolean);
  const name = title.trim() || said.join(", ");
  const isTaken = view.value.own.some((each) => each.title === name) || charts.value.some((chart) => chart.title === name);

  function add(event: Event): void {
    event.preventDefault();
    if (!said.length || isTaken) return;
    show({ own: [...view.peek().own, { title: name, lines: said }] });
    (event.currentTarget as HTMLElement).closest<HTMLElement>("[popover]")?.hidePopover();
  }

  return (
    <form class="new-chart" onSubmit={add}>
      <label>
        What it shows, one in a line
        <textarea
          rows={4}
          spellcheck={false}
          placeholder={"train/loss\nval/loss - train/loss\n/acc|f1/"}
          value={lines}
          onInput={(event) => setLines(event.currentTarget.value)}
        />
      </label>
      <p class="note">
        Names of metrics, also with <code>*</code>, a <code>/pattern/</code>, or an expression such as <code>cummin(val/loss)</code>.
      </p>
      <label>
        What it is called
        <input value={title} placeholder={said.join(", ")} onInput={(event) => setTitle(event.currentTarget.value)} />
      </label>
      {isTaken && name && <p class="problem">There is a chart of this name.</p>}
      <button type="submit" class="primary" disabled={!said.length || isTaken}>
        Add
      </button>
    </form>
  );
}
