import { expect, test } from "vitest";

import { type Column, type Columns, merged, type Points } from "./points";

/** Bytes as an answer has them: not at the beginning of their buffer, and nowhere aligned. */
function column(type: Column["type"], values: readonly number[]): Column {
  const array = { float64: Float64Array, float32: Float32Array, uint32: Uint32Array }[type].from(values);
  const within = new Uint8Array(array.byteLength + 3);
  within.set(new Uint8Array(array.buffer), 3);
  return { type, data: within.subarray(3) };
}

const XY = (x: readonly number[], y: readonly number[]): Columns => ({ x: column("float64", x), y: column("float32", y) });

function listed(points: Points): Record<string, number[]> {
  return Object.fromEntries(Object.entries(points).map(([name, values]) => [name, [...(values as Float64Array)]]));
}

test("columns are numbers of any of three kinds, wherever they begin", () => {
  const found = merged(undefined, 0, { ...XY([1e300, 2], [0.5, Number.NaN]), nan: column("uint32", [0, 1]) });
  expect(listed(found)).toEqual({ x: [1e300, 2], y: [0.5, Number.NaN], nan: [0, 1] });
});

test("what is new comes behind the points that stay", () => {
  const known = merged(undefined, 0, XY([1, 2, 3], [10, 20, 30]));
  expect(listed(merged(known, 2, XY([3, 4], [31, 40])))).toEqual({ x: [1, 2, 3, 4], y: [10, 20, 31, 40] });
});

test("a column that comes later, or ceases, has single rows where it is not told", () => {
  const single = merged(undefined, 0, XY([1, 2], [10, 20]));
  const several = { min: column("float64", [5]), max: column("float64", [9]), count: column("uint32", [3]) };
  const later = merged(single, 1, { ...XY([2], [7]), ...several, nan: column("uint32", [2]) });
  expect(listed(later)).toEqual({ x: [1, 2], y: [10, 7], min: [10, 5], max: [10, 9], count: [1, 3], nan: [0, 2] });
  const ceased = merged(later, 2, XY([3], [8]));
  expect(listed(ceased)).toEqual({ x: [1, 2, 3], y: [10, 7, 8], min: [10, 5, 8], max: [10, 9, 8], count: [1, 3, 1], nan: [0, 2, 0] });
});
