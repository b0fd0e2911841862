/** Parallel coordinates: an axis for each parameter and for the result, a line for each run. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { text } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { hovered } from "../hover";
import { axisOf } from "./scale";
import type { Shown } from "./Scatter";

const [HEIGHT, TOP, BOTTOM, LEFT, RIGHT] = [270, 30, 10, 34, 72];
const NAME_MAX = 16;
const SCALE_WIDTH = 5;

/** Of an axis, the part that runs must be in to stand out: 0 to 1, from below. */
type Brush = readonly [number, number];

/** @param scale Colours of the result from its lowest value to its highest one; null where they tell something else. */
export function Parallel({ points, names, width, onOpen, scale }: Shown & { scale: readonly string[] | null }): JSX.Element {
  const [brushes, setBrushes] = useState<ReadonlyMap<number, Brush>>(new Map());
  const [begun, setBegun] = useState<{ axis: number; at: number } | null>(null);
  const axes = names.map((_, index) => axisOf(points.map((point) => point.values[index])));
  const x = (index: number): number => LEFT + (index * (width - LEFT - RIGHT)) / Math.max(1, names.length - 1);
  const y = (at: number): number => HEIGHT - BOTTOM - at * (HEIGHT - TOP - BOTTOM);
  const shareOf = (event: MouseEvent): number => {
    const { top } = (event.currentTarget as SVGElement).closest("svg")!.getBoundingClientRect();
    return Math.min(1, Math.max(0, (HEIGHT - BOTTOM - (event.clientY - top)) / (HEIGHT - TOP - BOTTOM)));
  };
  const isIn = (values: readonly unknown[]): boolean =>
    [...brushes].every(([index, [low, high]]) => {
      const at = axes[index]!.at(values[index]);
      return at !== null && at >= low && at <= high;
    });
  const active = hovered.value;
  const labels = names.map((name) => {
    const last = name.slice(name.lastIndexOf(".") + 1);
    return names.filter((each) => each === last || each.endsWith(`.${last}`)).length === 1 ? last : name;
  });

  function brush(axis: number, from: number, to: number): void {
    const next = new Map(brushes);
    if (Math.abs(to - from) < 0.02) next.delete(axis);
    else next.set(axis, from < to ? [from, to] : [to, from]);
    setBrushes(next);
  }

  return (
    <svg width={width} height={HEIGHT} class="sweep-chart" role="group" aria-label={`Runs over ${names.join(", ")}; the table has the values`}>
      {points.map((point) => {
        const places = point.values.flatMap((value, index) => {
          const at = axes[index]!.at(value);
          return at === null ? [] : [`${x(index).toFixed(1)},${y(at).toFixed(1)}`];
        });
        const isBack = active === null ? !isIn(point.values) : active !== point.id;
        return (
          <polyline
            key={point.id}
            points={places.join(" ")}
            stroke={point.color}
            class={`parallel-line ${active === point.id ? "on" : ""} ${isBack ? "back" : ""}`}
            onMouseEnter={() => (hovered.value = point.id)}
            onMouseLeave={() => (hovered.value = null)}
            onClick={() => onOpen(point.id)}
          >
            <title>{`${point.label}\n${names.map((name, at) => `${name} ${text(point.values[at])}`).join("\n")}`}</title>
          </polyline>
        );
      })}
      {names.map((name, index) => {
        const chosen = brushes.get(index);
        return (
          <g key={name}>
            {scale && index === names.length - 1 ? <Scale colors={scale} left={x(index)} top={TOP} bottom={HEIGHT - BOTTOM} /> : null}
            <line class="axis-line" x1={x(index)} x2={x(index)} y1={TOP} y2={HEIGHT - BOTTOM} />
            <text class="axis-name" x={x(index)} y={14} text-anchor={index ? "middle" : "start"}>
              {shortened(labels[index]!)}
              <title>{plain(name)}</title>
            </text>
            {axes[index]!.ticks.map((tick) => (
              <text key={tick.label} x={x(index) + 6} y={y(tick.at) + 4}>
                {shortened(tick.label)}
              </text>
            ))}
            {chosen && (
              <rect class="brush" x={x(index) - 5} width={10} y={y(chosen[1])} height={Math.max(2, y(chosen[0]) - y(chosen[1]))} />
            )}
            <rect
              class="brush-ground"
              x={x(index) - 9}
              width={18}
              y={TOP}
              height={HEIGHT - TOP - BOTTOM}
              onPointerDown={(event) => {
                event.currentTarget.setPointerCapture(event.pointerId);
                setBegun({ axis: index, at: shareOf(event) });
              }}
              onPointerMove={(event) => begun?.axis === index && brush(index, begun.at, shareOf(event))}
              onPointerUp={(event) => {
                brush(index, begun?.at ?? 0, shareOf(event));
                setBegun(null);
              }}
            >
              <title>{`${name}: drag to have runs of a part stand out, click to take that away`}</title>
            </rect>
          </g>
        );
      })}
    </svg>
  );
}

/** The axis of the result, as the legend of the lines' colours. */
function Scale(props: { colors: readonly string[]; left: number; top: number; bottom: number }): JSX.Element {
  const parts = props.colors.length - 1;
  return (
    <>
      <defs>
        <linearGradient id="parallel-scale" x1="0" x2="0" y1="1" y2="0">
          {props.colors.map((color, at) => (
            <stop key={at} offset={at / parts} stop-color={color} />
          ))}
        </linearGradient>
      </defs>
      <rect x={props.left - SCALE_WIDTH / 2} y={props.top} width={SCALE_WIDTH} height={props.bottom - props.top} fill="url(#parallel-scale)" />
    </>
  );
}

function shortened(given: string): string {
  const name = plain(given);
  return name.length > NAME_MAX ? `…${name.slice(1 - NAME_MAX)}` : name;
}
