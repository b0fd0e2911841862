import { describe, expect, test } from "vitest";

import type { Column, Line as Answer } from "../api/types";
import { drawn, joined, type LineData, NOTHING, ofSingle, placeAt, taken } from "./series";

type Numbers = (number | null)[];

/** A column as it comes: bytes somewhere among others. */
function column(numbers: Numbers, type: "float64" | "float32" = "float64"): Column {
  const typed = (type === "float64" ? Float64Array : Float32Array).from(numbers.map((each) => each ?? Number.NaN));
  const all = new Uint8Array(typed.byteLength + 3);
  all.set(new Uint8Array(typed.buffer), 3);
  return { type, data: all.subarray(3) };
}

/** An answer, as the server gives one: without columns that say nothing. */
function answer(columns: Record<string, Numbers>, more: Partial<Answer> = {}): Answer {
  const typed = Object.entries(columns).map(([name, data]): [string, Column] => [name, column(data)]);
  return { panel: 0, line: 0, cursor: "c", points: columns.x!.length, first: 0, columns: Object.fromEntries(typed), ...more };
}

function whole(x: number[], y: Numbers, more: Record<string, Numbers> = {}): LineData {
  return taken(NOTHING, answer({ x, y, ...more }));
}

describe("an answer", () => {
  test("of single rows has one for each point, and none for what is no number", () => {
    const { columns } = whole([0, 1, 2], [1, null, 3], { nan: [0, 1, 0] });
    expect([columns.min, columns.max]).toEqual([columns.y, columns.y]);
    expect([columns.count, columns.nan, columns.posInf]).toEqual([[1, 0, 1], [0, 1, 0], [0, 0, 0]]);
  });

  test("comes behind the points that stay", () => {
    const known = whole([0, 10, 20], [1, 2, 3]);
    const more = taken(known, answer({ x: [20, 30], y: [3.5, 4] }, { first: 2, points: 5, cursor: "d" }));
    expect([more.columns.x, more.columns.y]).toEqual([[0, 10, 20, 30], [1, 2, 3.5, 4]]);
    expect([more.points, more.cursor, known.columns.x.length]).toEqual([5, "d", 3]);
  });

  test("may be the first with points of several rows, or with what is no number: those before were single numbers", () => {
    const known = whole([0, 10, 20], [1, 2, 3]);
    const news = { x: [20, 30], y: [3, 5], min: [3, 4], max: [3, 6], count: [1, 2], posInf: [0, 7] };
    const { columns } = taken(known, answer(news, { first: 2 }));
    expect([columns.min, columns.max]).toEqual([[1, 2, 3, 4], [1, 2, 3, 6]]);
    expect([columns.count, columns.posInf, columns.nan]).toEqual([[1, 1, 1, 2], [0, 0, 0, 7], [0, 0, 0, 0]]);
  });

  test("that nothing has changed leaves the line as it is", () => {
    const known = whole([0], [1]);
    expect(taken(known, { panel: 0, line: 0, unchanged: true, cursor: "c" })).toBe(known);
  });

  test("in single precision is told in the fewest digits that name it", () => {
    const line = taken(NOTHING, answer({ x: [0], y: [1] }, { columns: { x: column([0]), y: column([0.1], "float32") } }));
    expect(line.isSingle).toBe(true);
    expect([0.1, 0.25, 123456.7, 1e-30, -0.1234567].map((value) => ofSingle(Math.fround(value)))).toEqual([0.1, 0.25, 123456.7, 1e-30, -0.1234567]);
  });
});

describe("what is drawn", () => {
  test("marks what is no number, and leaves a gap there", () => {
    const line = drawn(whole([0, 1, 2], [1, null, 3], { nan: [0, 1, 0], posInf: [0, 2, 0], negInf: [1, 0, 0] }), false);
    expect(line.raw).toEqual([1, null, 3]);
    expect(line.rows).toEqual([2, 3, 1]);
    expect(line.marks).toEqual([
      { x: 0, kind: "−∞", count: 1 },
      { x: 1, kind: "NaN", count: 1 },
      { x: 1, kind: "∞", count: 2 },
    ]);
  });
  test("is what was smoothed where that was asked for, and only where there is a number", () => {
    const line = drawn(whole([0, 1, 2], [4, null, 2], { smooth: [4, 3.5, 3] }), false);
    expect(line.smooth).toEqual([4, null, 3]);
    const plain = drawn(whole([0, 1], [4, 2]), false);
    expect(plain.smooth).toBe(plain.raw);
  });
  test("on a logarithmic axis leaves out what has no logarithm, and counts it", () => {
    const line = drawn(whole([0, 1, 2, 3], [0, -1, null, 3]), true);
    expect(line.raw).toEqual([null, null, null, 3]);
    expect(line.left).toBe(2);
  });
  test("has a band where a point is of several rows", () => {
    expect(drawn(whole([0], [1]), false).banded).toBe(false);
    expect(drawn(whole([0], [1], { min: [0], max: [2], count: [2] }), false)).toMatchObject({ banded: true, low: [0], high: [2] });
  });
  test("of several lines has each x once", () => {
    const lines = [drawn(whole([0, 2], [1, 2]), false), drawn(whole([1, 2], [3, 4]), false)];
    expect(joined(lines)).toEqual({ x: [0, 1, 2], places: [[0, 2], [1, 2]] });
  });
});

describe("the value at the cursor", () => {
  const line = { x: [0, 10, 20, 30], raw: [1, null, 3, 4] };

  test("is the closest one, and passes over gaps", () => {
    expect([-1, 2, 9, 11, 16, 29].map((x) => placeAt(line, x, 0))).toEqual([0, 0, 0, 2, 2, 3]);
  });

  test("is none where the line has ended, or has not begun", () => {
    expect([-11, 41].map((x) => placeAt(line, x, 0))).toEqual([null, null]);
    expect([-9, 39].map((x) => placeAt(line, x, 0))).toEqual([0, 3]);
    expect(placeAt({ x: [5], raw: [1] }, 8, 2)).toBeNull();
    expect(placeAt({ x: [5], raw: [1] }, 6, 2)).toBe(0);
    expect(placeAt({ x: [], raw: [] }, 6, 2)).toBeNull();
  });
});
