import { expect, test } from "vitest";

import type { Points } from "../points";
import { axesFor, pixelOfX, xOfPixel, yOfPixel } from "./axes";
import { SvgPen } from "./pen";
import { paint } from "./paint";
import { isAside, lastTold, nearest, readings, told } from "./read";
import { endsAt, placeAt, type Spread, type Trace, traceOf } from "./trace";

type Point = readonly [number, number];

function points(of: readonly Point[], more: Partial<Points> = {}): Points {
  return { x: Float64Array.from(of, ([x]) => x), y: Float64Array.from(of, ([, y]) => y), ...more };
}

function trace(of: readonly Point[], key = "a", more: Partial<Points> = {}, spread: Spread | null = null): Trace {
  return traceOf(points(of, more), { key, label: key, color: "#123456", spread });
}

const SIZE = { width: 300, height: 160, x: "step", logX: false, logY: false, xRange: null, yRange: null };

test("a spike among the many rows of a point is drawn as high as it is", () => {
  const { raw } = trace([[0, 1], [10, 11], [20, 1.5]], "a", { min: Float64Array.of(1, 1, 1), max: Float64Array.of(1, 100, 2) });
  expect([...raw]).toEqual([0, 1, 10, 1, 10, 100, 20, 2, 20, 1]);
});

test("NaN is a gap and a mark", () => {
  const { raw, marks } = trace([[0, 1], [1, Number.NaN], [2, 3]], "a", { nan: Uint32Array.of(0, 1, 0) });
  expect([...raw]).toEqual([0, 1, 1, Number.NaN, 2, 3]);
  expect(marks).toEqual([{ x: 1, kind: "NaN", count: 1 }]);
});

test("a band is as wide as its runs, as their deviation, or as that of their mean; of one run it has no width", () => {
  const more = { min: Float64Array.of(0, 5), max: Float64Array.of(4, 5), std: Float64Array.of(2, Number.NaN), count: Uint32Array.of(4, 1) };
  const of = (spread: Spread): number[][] => [0, 1].map((at) => endsAt(trace([[0, 2], [1, 5]], "g", more, spread).points, at, spread));
  expect(of("minmax")).toEqual([[0, 4], [5, 5]]);
  expect(of("std")).toEqual([[0, 4], [5, 5]]);
  expect(of("stderr")).toEqual([[1, 3], [5, 5]]);
});

test("a run that ended long before has no value at the mouse", () => {
  const short = trace([[0, 1], [10, 2]]);
  expect(placeAt(short, 11, 2)).toBe(1);
  expect(placeAt(short, 50, 2)).toBe(null);
  expect(placeAt(trace([]), 0, 1)).toBe(null);
});

test("the nearest line is read first, and the mouse finds the x that is drawn there", () => {
  const traces = [trace([[0, 1], [100, 1]], "low"), trace([[0, 2], [100, 2]], "high"), trace([[0, 9], [10, 9]], "ended")];
  const axes = axesFor(traces, SIZE)!;
  expect(xOfPixel(axes, pixelOfX(axes, 42))).toBeCloseTo(42);
  const height = [...Array(160).keys()].find((pixel) => yOfPixel(axes, pixel) < 2)!;
  const found = readings(traces, axes, 80, height);
  expect(found.map((each) => each.key)).toEqual(["high", "low"]);
  expect(nearest(found)?.key).toBe("high");
});

test("what is told is of an x that was logged, and says of how many rows it is, and where it is not the x above", () => {
  const dense = trace([[0, 0], [48, 50], [52, 54], [100, 100]], "dense", { count: Uint32Array.of(1, 4, 4, 1) });
  const sparse = trace([[0, 7], [100, 7]], "sparse");
  const axes = axesFor([dense, sparse], SIZE)!;
  const found = readings([dense, sparse], axes, 51, null);
  expect(found.map(({ key, x, value, rows, runs }) => [key, x, value, rows, runs])).toEqual([
    ["dense", 52, 54, 4, null],
    ["sparse", 100, 7, 1, null],
  ]);
  expect(found.map((each) => isAside(axes, each, 52))).toEqual([false, true]);
  const band = trace([[0, 1], [100, 2]], "band", { count: Uint32Array.of(3, 2) }, "std");
  expect(readings([band], axes, 99, null)[0]).toMatchObject({ x: 100, rows: 1, runs: 2 });
});

test("a line is told to end with its last row, or with what is a mean, and never with one as if it were the other", () => {
  const told = (y: number, count: number, spread: Spread | null = null): string =>
    lastTold(trace([[0, 1], [1, y], [2, Number.NaN]], "a", { count: Uint32Array.of(1, count, 0) }, spread));
  expect(told(7, 1)).toBe("7");
  expect(told(19983.5, 32)).toBe("19983.5, the mean of 32 rows");
  expect(told(7, 3, "std")).toBe("7");
  expect(lastTold(trace([]))).toBe("none");
});

test("what is no number is told where it is, also of a line that has nothing else", () => {
  const mixed = trace([[0, 1], [50, Number.NaN], [100, 3]], "mixed", { nan: Uint32Array.of(0, 2, 0) });
  const odd = trace([[0, Number.NaN], [50, Number.NaN]], "odd", { posInf: Uint32Array.of(1, 0), negInf: Uint32Array.of(0, 1) });
  const axes = axesFor([mixed, odd], SIZE)!;
  const told = readings([mixed, odd], axes, 51, 80).map(({ key, x, value, marks }) => [key, x, value, marks]);
  expect(told).toEqual([
    ["mixed", 50, Number.NaN, "2 × NaN"],
    ["odd", 50, Number.NaN, "1 × −∞"],
  ]);
  expect(readings([mixed], axes, 90, 80)[0]).toMatchObject({ x: 100, value: 3, marks: "" });
});

test("on logarithmic axes what is not above 0 is left out, and of nothing there is no chart", () => {
  const log = { ...SIZE, logX: true, logY: true };
  const axes = axesFor([trace([[0, -1], [1, 1e-3], [1000, 1e3]])], log)!;
  expect(axes.x).toEqual([1, 1000]);
  expect(axes.y[0]).toBeGreaterThan(0);
  expect(axesFor([trace([[-1, -1]])], log)).toBe(null);
  expect(axesFor([], SIZE)).toBe(null);
});

test("values that lie close together are told with as many digits as tell them apart", () => {
  expect(told(1.000001234, [1.000001, 1.000002])).toBe("1.000001234");
  expect(told(0.123456789, [0, 1])).toBe("0.12346");
  expect(told(1.5e-9, [0, 1])).toBe("1.5e-9");
});

test("an SVG has each line as a path, and no name in it is markup", () => {
  const traces = [trace([[0, 1], [1, 2]], "<script>"), trace([[0, 3], [1, 4]], "b", { smooth: Float64Array.of(3, 3.5) })];
  const pen = new SvgPen();
  paint(pen, axesFor(traces, SIZE)!, traces, { ink: "#000000", grid: "#eeeeee" });
  pen.text("<script>", 0, 0, { color: "#000000", size: 10, align: "left" });
  const svg = pen.document(300, 160, "#ffffff");
  expect(svg).not.toContain("<script");
  expect(svg.match(/stroke="#123456"/g)).toHaveLength(3);
});
