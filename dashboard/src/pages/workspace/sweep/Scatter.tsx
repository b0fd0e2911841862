/** A parameter against a result: a point for each run. */

import type { JSX } from "preact";

import { text } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { hovered } from "../hover";
import { axisOf } from "./scale";

export interface Point {
  id: string;
  label: string;
  color: string;
  /** What it has of each dimension that is shown. */
  values: readonly unknown[];
}

export interface Shown {
  points: readonly Point[];
  /** Names of the values, in their order; the last one is the result. */
  names: readonly string[];
  width: number;
  onOpen: (id: string) => void;
}

const [HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [250, 58, 36, 10, 14];

export function Scatter(props: Shown & { of: number }): JSX.Element {
  const { points, names, width, of } = props;
  const result = names.length - 1;
  const across = axisOf(points.map((point) => point.values[of]));
  const up = axisOf(points.map((point) => point.values[result]));
  const px = (at: number): number => LEFT + 10 + at * (width - LEFT - RIGHT - 20);
  const py = (at: number): number => HEIGHT - BOTTOM - 8 - at * (HEIGHT - BOTTOM - TOP - 16);
  const placed = points.flatMap((point) => {
    const [x, y] = [across.at(point.values[of]), up.at(point.values[result])];
    return x === null || y === null ? [] : [{ point, x: px(x), y: py(y) }];
  });
  const left = points.length - placed.length;
  const active = hovered.value;
  return (
    <>
      <svg width={width} height={HEIGHT} class="sweep-chart" role="group" aria-label={`${names[result]} by ${names[of]}`}>
        {across.ticks.map((tick) => (
          <text key={tick.label} x={px(tick.at)} y={HEIGHT - BOTTOM + 14} text-anchor={tick.at <= 0 ? "start" : tick.at >= 1 ? "end" : "middle"}>
            {plain(tick.label)}
          </text>
        ))}
        {up.ticks.map((tick) => (
          <g key={tick.label}>
            <line class="grid-line" x1={LEFT} x2={width - RIGHT} y1={py(tick.at)} y2={py(tick.at)} />
            <text x={LEFT - 6} y={py(tick.at) + 4} text-anchor="end">
              {plain(tick.label)}
            </text>
          </g>
        ))}
        <text class="axis-name" x={(LEFT + width - RIGHT) / 2} y={HEIGHT - 5} text-anchor="middle">
          {plain(names[of]!)}
        </text>
        {placed.map(({ point, x, y }) => (
          <circle
            key={point.id}
            cx={x}
            cy={y}
            r={active === point.id ? 7 : 5}
            fill={point.color}
            class={`point ${active !== null && active !== point.id ? "back" : ""}`}
            // in small letters: the case of SVG's attributes counts, and tabIndex is none of them
            tabindex={0}
            role="link"
            onMouseEnter={() => (hovered.value = point.id)}
            onMouseLeave={() => (hovered.value = null)}
            onClick={() => props.onOpen(point.id)}
            onKeyDown={(event) => event.key === "Enter" && props.onOpen(point.id)}
          >
            <title>{`${point.label}\n${names[of]} ${text(point.values[of])}\n${names[result]} ${text(point.values[result])}`}</title>
          </circle>
        ))}
      </svg>
      {left > 0 && <p class="note">{left} without both values.</p>}
    </>
  );
}
