import { describe, expect, test } from "vitest";

import type { Series } from "../api/types";
import { appended, askFrom, csv, drawn, joined, type LineData, ofAnswer, placeAt, smoothed } from "./series";

function answer(x: number[], mean: (number | null)[], more: Partial<Series["buckets"]> = {}): Series {
  const ones = x.map(() => 1);
  const zeros = x.map(() => 0);
  return {
    field: "loss",
    x: "index",
    start: null,
    stop: null,
    width: 1000,
    rows: x.length,
    points: x.length,
    resolution: "rows",
    exact: true,
    buckets: {
      x,
      xMin: x,
      xMax: x,
      count: mean.map((value) => (value === null ? 0 : 1)),
      min: mean,
      max: mean,
      mean,
      first: mean,
      last: mean,
      nan: zeros,
      posInf: zeros,
      negInf: zeros,
      ...more,
      ...(more.count ? {} : { count: mean.every((value) => value !== null) ? ones : mean.map((v) => (v === null ? 0 : 1)) }),
    },
  };
}

function whole(...given: Parameters<typeof answer>): LineData {
  return ofAnswer(answer(...given));
}

const plain = { smoothing: 0, log: false, relative: false };

describe("what is new", () => {
  test("is asked for behind the last index, and put behind it", () => {
    const line: LineData = whole([0, 1, 2], [1, 2, 3]);
    expect(askFrom(line, "index")).toBe(3);
    const more = appended(line, 3, { ...answer([3, 4], [4, 5]), rows: 5 });
    expect(more.buckets.x).toEqual([0, 1, 2, 3, 4]);
    expect(more.buckets.mean).toEqual([1, 2, 3, 4, 5]);
    expect(more.rows).toBe(5);
  });

  test("of a field takes the place of the last point, which more rows may share", () => {
    const line: LineData = whole([10, 20], [1, 2]);
    expect(askFrom(line, "step")).toBe(20);
    const more = appended(line, 20, answer([20, 30], [2.5, 3]));
    expect(more.buckets.x).toEqual([10, 20, 30]);
    expect(more.buckets.mean).toEqual([1, 2.5, 3]);
  });

  test("is everything where nothing is known", () => {
    expect(askFrom(whole([], []), "index")).toBeNull();
  });
});

describe("smoothing", () => {
  test("leaves a constant what it is, from the first point on", () => {
    for (const value of smoothed([3, 3, 3, 3], 0.9)) expect(value).toBeCloseTo(3, 12);
  });
  test("passes over what is no number", () => {
    const [first, gap, next] = smoothed([1, null, 3], 0.5);
    expect(gap).toBeNull();
    expect(first).toBeCloseTo(1);
    expect(next).toBeCloseTo((0.5 * 0.5 * 1 + 0.5 * 3) / 0.75);
  });
});

describe("what is drawn", () => {
  test("marks what is no number, and leaves a gap there", () => {
    const line = drawn(whole([0, 1, 2], [1, null, 3], { nan: [0, 1, 0], posInf: [0, 2, 0], negInf: [1, 0, 0] }), plain);
    expect(line.raw).toEqual([1, null, 3]);
    expect(line.marks).toEqual([
      { x: 0, kind: "−∞", count: 1 },
      { x: 1, kind: "NaN", count: 1 },
      { x: 1, kind: "∞", count: 2 },
    ]);
  });
  test("on a logarithmic axis leaves out what has no logarithm, and counts it", () => {
    const line = drawn(whole([0, 1, 2], [0, -1, 3]), { ...plain, log: true });
    expect(line.raw).toEqual([null, null, 3]);
    expect(line.left).toBe(2);
  });
  test("counts from the first x where that is asked for", () => {
    expect(drawn(whole([100, 160], [1, 2]), { ...plain, relative: true }).x).toEqual([0, 60]);
  });
  test("counts from where the whole line begins, also where only a part is there", () => {
    expect(drawn({ ...whole([150, 160], [1, 2]), origin: 100 }, { ...plain, relative: true }).x).toEqual([50, 60]);
  });
  test("of several lines has each x once", () => {
    const lines = [drawn(whole([0, 2], [1, 2]), plain), drawn(whole([1, 2], [3, 4]), plain)];
    expect(joined(lines)).toEqual({ x: [0, 1, 2], places: [[0, 2], [1, 2]] });
  });
});

test("a table of what is shown has a name for each column, and none that a spreadsheet would run", () => {
  const table = csv("step", ["=loss", 'a "b"'], [
    drawn(whole([0], [1]), plain),
    drawn(whole([1], [2]), plain),
  ]);
  expect(table.split("\r\n")).toEqual([
    "step,'=loss,'=loss (min),'=loss (max),\"a \"\"b\"\"\",\"a \"\"b\"\" (min)\",\"a \"\"b\"\" (max)\"",
    "0,1,1,1,,,",
    "1,,,,2,2,2",
    "",
  ]);
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
