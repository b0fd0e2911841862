/** The result of each run as a bar, in their order. */

import type { JSX } from "preact";

import { text } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { hovered } from "../hover";
import { short } from "../plot/read";
import type { Shown } from "./Scatter";

const SHOWN = 40;
const DIGITS = 5;

export function Bars({ points, names, ascends, onOpen }: Shown & { ascends: boolean }): JSX.Element {
  const result = names.length - 1;
  const found = points.flatMap((point) => {
    const value = Number(point.values[result] ?? Number.NaN);
    return Number.isFinite(value) ? [{ point, value }] : [];
  });
  found.sort((a, b) => (ascends ? a.value - b.value : b.value - a.value));
  const [low, high] = [Math.min(0, ...found.map(({ value }) => value)), Math.max(0, ...found.map(({ value }) => value))];
  const share = (value: number): number => (high / 2 - low / 2 ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0);
  const active = hovered.value;
  return (
    <div class="bars-list">
      <ol aria-label={`${names[result]} of each run`}>
        {found.slice(0, SHOWN).map(({ point, value }) => {
          const [from, to] = [share(Math.min(0, value)), share(Math.max(0, value))];
          return (
            <li
              key={point.id}
              class={active !== null && active !== point.id ? "back" : ""}
              onMouseEnter={() => (hovered.value = point.id)}
              onMouseLeave={() => (hovered.value = null)}
            >
              <button type="button" title={`${point.label}: ${text(value)}`} onClick={() => onOpen(point.id)}>
                {plain(point.label)}
              </button>
              <span class="bar-ground">
                <span class="bar" style={{ left: `${100 * from}%`, width: `${100 * (to - from)}%`, background: point.color }} />
              </span>
              <span class="bar-value">{short(value, DIGITS)}</span>
            </li>
          );
        })}
      </ol>
      {found.length < points.length && <p class="note">{points.length - found.length} without it.</p>}
      {found.length > SHOWN && <p class="note">The first {SHOWN} of {found.length}.</p>}
    </div>
  );
}
