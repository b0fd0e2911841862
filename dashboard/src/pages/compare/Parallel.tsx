/** Parallel coordinates: an axis for each parameter that differs and for the result, a line for each run. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { text } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { axisOf } from "./scale";

export interface Dimension {
  name: string;
  values: readonly unknown[];
}

const [HEIGHT, TOP, BOTTOM, SIDE, GAP] = [300, 34, 14, 60, 130];

export function Parallel(props: {
  dimensions: readonly Dimension[];
  labels: readonly string[];
  colors: readonly string[];
}): JSX.Element {
  const { dimensions, labels, colors } = props;
  const [active, setActive] = useState<number | null>(null);
  const axes = dimensions.map((dimension) => axisOf(dimension.values));
  const width = 2 * SIDE + Math.max(1, dimensions.length - 1) * GAP;
  const x = (index: number): number => SIDE + index * GAP;
  const y = (at: number): number => HEIGHT - BOTTOM - at * (HEIGHT - TOP - BOTTOM);
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Parallel coordinates">
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`}
        class="parallel"
        style={{ width: `${width}px` }}
        role="img"
        aria-label={`Runs over ${dimensions.map((each) => each.name).join(", ")}; the table of parameters lists the values`}
      >
        {labels.map((label, run) => {
          const points = dimensions.flatMap((dimension, index) => {
            const at = axes[index]!.at(dimension.values[run]);
            return at === null ? [] : [`${x(index)},${y(at)}`];
          });
          const told = dimensions.map((each) => `${each.name} ${text(each.values[run])}`).join("\n");
          return (
            <polyline
              key={label}
              points={points.join(" ")}
              stroke={colors[run]}
              class={`parallel-line ${active === null ? "" : active === run ? "on" : "off"}`}
              onMouseEnter={() => setActive(run)}
              onMouseLeave={() => setActive(null)}
            >
              <title>{`${label}\n${told}`}</title>
            </polyline>
          );
        })}
        {dimensions.map((dimension, index) => (
          <g key={dimension.name}>
            <line class="axis-line" x1={x(index)} x2={x(index)} y1={TOP} y2={HEIGHT - BOTTOM} />
            <text class="axis-name" x={x(index)} y={16} text-anchor="middle">
              {short(dimension.name)}
            </text>
            {axes[index]!.ticks.map((tick) => (
              <text key={tick.label} x={x(index) + 6} y={y(tick.at) + 4} class="tick">
                {short(tick.label)}
              </text>
            ))}
          </g>
        ))}
      </svg>
    </div>
  );
}

function short(given: string): string {
  const name = plain(given);
  return name.length > 18 ? `…${name.slice(-17)}` : name;
}
