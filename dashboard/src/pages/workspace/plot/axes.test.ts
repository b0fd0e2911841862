import { expect, test } from "vitest";

import { axesFor, pixelOfX, pixelOfY } from "./axes";
import { even } from "./read";
import type { Trace } from "./trace";

/** Pixels of a character of a tick, and of a line, as they are drawn. */
const [CHARACTER, LINE] = [6, 11];

function trace(x: readonly number[], y: readonly number[]): Trace {
  const raw = Float64Array.from(x.flatMap((each, at) => [each, y[at]!]));
  const points = { x: Float64Array.from(x), y: Float64Array.from(y), low: null, high: null, count: null, smooth: null };
  return { key: "a", label: "a", color: "#000000", raw, smooth: null, band: null, points, marks: [], spread: null, isOfRows: false } as unknown as Trace;
}

test.each([
  ["steps", 0, 10_000, 0, 1],
  ["many steps", 0, 1_250_000, 2.5, 11],
  ["tokens", 0, 5.2e9, 0.36, 0.47],
  ["few steps", 3, 7, -60_000, 60_000],
  ["close values", 0, 719, 0.9999, 1.0001],
  ["learning rates", 0, 9990, 0, 0.002],
])("ticks of %s overlap neither one another nor the title of x", (_, first, last, low, high) => {
  for (const width of [230, 300, 600]) {
    const axes = axesFor([trace([first, last], [low, high])], { width, height: 168, x: "step", logX: false, logY: false, xRange: null, yRange: null, title: "step" })!;
    const half = (text: string): number => (text.length * CHARACTER) / 2;
    const shown = axes.xTicks.map((tick) => ({ at: pixelOfX(axes, tick.value), half: half(tick.text) })).filter((tick) => tick.at + tick.half <= axes.xEnd);
    shown.slice(1).forEach((tick, at) => expect(tick.at - tick.half).toBeGreaterThan(shown[at]!.at + shown[at]!.half));
    expect(shown.length).toBeGreaterThan(0);
    expect(axes.xEnd).toBeLessThanOrEqual(axes.box.left + axes.box.width - "step".length * CHARACTER);
    const heights = axes.yTicks.map((tick) => pixelOfY(axes, tick.value)).sort((a, b) => a - b);
    heights.slice(1).forEach((height, at) => expect(height - heights[at]!).toBeGreaterThan(LINE));
    expect(heights.length).toBeGreaterThan(1);
    expect(Math.max(...axes.yTicks.map((tick) => tick.text.length)) * CHARACTER).toBeLessThan(axes.box.left);
  }
});

test("numbers of a column have as many digits as one another", () => {
  expect([0.3452, 0.34374, 12.5, 3, Number.NaN, 2.5e-7, 428246.3].map((value) => even(value, 5))).toEqual(["0.34520", "0.34374", "12.500", "3", "NaN", "2.5e-7", "428250"]);
});
