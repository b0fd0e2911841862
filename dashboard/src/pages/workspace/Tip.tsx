/** What the lines of a chart say at the mouse: the nearest first, a few of them. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { several } from "../../ui/format";
import { plain } from "../../ui/terminal";
import type { Axes } from "./plot/axes";
import { isAside, type Reading, told, xTold } from "./plot/read";

export interface Told {
  /** In which panel it is, at which x, and how many pixels below its upper edge. */
  panel: string;
  x: number;
  down: number;
  /** Where the mouse is in the window. */
  left: number;
  top: number;
  axis: string;
  axes: Axes;
  found: readonly Reading[];
  /** The line under the mouse. */
  active: string | null;
  /** It stays where it is, until the next click or Escape. */
  pinned: boolean;
}

export const tip = signal<Told | null>(null);

const SHOWN = 8;
const AWAY = 16;
/** The share of a chart's height from which on one sees that rows differ. */
const SEEN = 0.05;

export function Tip(): JSX.Element | null {
  const box = useRef<HTMLDivElement>(null);
  const told = tip.value;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || !told) return;
    const { width, height } = element.getBoundingClientRect();
    const fits = told.left + AWAY + width < innerWidth;
    element.style.left = `${Math.max(4, fits ? told.left + AWAY : told.left - AWAY - width)}px`;
    element.style.top = `${Math.max(4, Math.min(told.top + AWAY, innerHeight - height - 4))}px`;
  }, [told]);
  if (!told?.found.length) return null;
  const head = told.found[0]!.x;
  return (
    <div ref={box} class={`tip ${told.pinned ? "pinned" : ""}`} role="status" aria-hidden={!told.pinned}>
      <div class="tip-x">{xTold(head, told.axis)}</div>
      {told.found.slice(0, SHOWN).map((each) => (
        <Entry
          key={each.key + each.label}
          of={each}
          y={told.axes.y}
          isActive={each.key === told.active}
          aside={isAside(told.axes, each, head) ? xTold(each.x, told.axis) : null}
        />
      ))}
      {told.found.length > SHOWN && <div class="tip-more">and {told.found.length - SHOWN} more</div>}
    </div>
  );
}

/** @param props.aside Where the value was logged, where that is not what stands above all of them. */
function Entry(props: { of: Reading; y: Axes["y"]; isActive: boolean; aside: string | null }): JSX.Element {
  const { of, y, isActive, aside } = props;
  const { low, high, value, smoothed, runs, rows } = of;
  // a spike among the rows of a pixel is told wherever it can be seen
  const isSpread = isActive || runs !== null || high - low > SEEN * (y[1] - y[0]);
  return (
    <div class={`tip-row ${isActive ? "active" : ""}`}>
      <span class="swatch" style={{ background: of.color }} />
      <span class="tip-label">{plain(of.label)}</span>
      <span class="tip-value">{told(smoothed ?? value, y)}</span>
      {smoothed !== null && <span class="muted">({told(value, y)})</span>}
      {isSpread && low < high && (
        <span class="muted">
          {told(low, y)} … {told(high, y)}
        </span>
      )}
      {runs !== null && <span class="muted">{several(runs, "run")}</span>}
      {rows > 1 && <span class="muted">{several(rows, "row")}</span>}
      {aside !== null && <span class="muted">at {aside}</span>}
      {of.marks && <span class="muted">{of.marks}</span>}
    </div>
  );
}
