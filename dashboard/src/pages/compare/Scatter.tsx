/** A parameter against a result: a point for each run. */

import type { JSX } from "preact";

import { experimentPath, navigate } from "../../state/url";
import { text } from "../../ui/format";
import { axisOf } from "./scale";

export interface Point {
  label: string;
  prefix: string;
  color: string;
  x: unknown;
  y: unknown;
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [560, 300, 70, 40, 14, 20];

export function Scatter(props: { points: readonly Point[]; x: string; y: string }): JSX.Element {
  const { points } = props;
  const across = axisOf(points.map((point) => point.x));
  const up = axisOf(points.map((point) => point.y));
  const px = (at: number): number => LEFT + 12 + at * (WIDTH - LEFT - RIGHT - 24);
  const py = (at: number): number => HEIGHT - BOTTOM - 10 - at * (HEIGHT - BOTTOM - TOP - 20);
  const left = points.filter((point) => across.at(point.x) === null || up.at(point.y) === null);
  const described = points.map((point) => `${point.label}: ${text(point.x)}, ${text(point.y)}`).join("; ");
  return (
    <figure class="scatter-box">
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} class="scatter" role="group" aria-label={`${props.y} by ${props.x}. ${described}`}>
      <rect class="plot-ground" x={LEFT} y={TOP} width={WIDTH - LEFT - RIGHT} height={HEIGHT - BOTTOM - TOP} />
      {across.ticks.map((tick) => (
        <g key={tick.label}>
          <line class="grid-line" x1={px(tick.at)} x2={px(tick.at)} y1={TOP} y2={HEIGHT - BOTTOM} />
          <text x={px(tick.at)} y={HEIGHT - BOTTOM + 16} text-anchor="middle">
            {tick.label}
          </text>
        </g>
      ))}
      {up.ticks.map((tick) => (
        <g key={tick.label}>
          <line class="grid-line" x1={LEFT} x2={WIDTH - RIGHT} y1={py(tick.at)} y2={py(tick.at)} />
          <text x={LEFT - 6} y={py(tick.at) + 4} text-anchor="end">
            {tick.label}
          </text>
        </g>
      ))}
      <text class="axis-name" x={(LEFT + WIDTH - RIGHT) / 2} y={HEIGHT - 6} text-anchor="middle">
        {props.x}
      </text>
      {points.map((point) => {
        const [x, y] = [across.at(point.x), up.at(point.y)];
        if (x === null || y === null) return null;
        return (
          <circle
            key={point.prefix}
            cx={px(x)}
            cy={py(y)}
            r="6"
            fill={point.color}
            class="point"
            // in small letters: the case of SVG's attributes counts, and tabIndex is none of them
            tabindex={0}
            role="link"
            aria-label={`${point.label}: ${text(point.x)}, ${text(point.y)}`}
            onClick={() => navigate(experimentPath(point.prefix))}
            onKeyDown={(event) => {
              if (event.key === "Enter") navigate(experimentPath(point.prefix));
            }}
          >
            <title>{`${point.label}: ${props.x} ${text(point.x)}, ${props.y} ${text(point.y)}`}</title>
          </circle>
        );
      })}
    </svg>
    {left.length > 0 && (
      <figcaption class="muted">
        Not shown here: {left.map((point) => `${point.label} (${text(point.x)}, ${text(point.y)})`).join(", ")}
      </figcaption>
    )}
    </figure>
  );
}
