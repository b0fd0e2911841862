import { describe, expect, test } from "vitest";

import { fitting, logTicks, longest, padded, paddedLog, type Tick, ticks, widened } from "./ticks";

const MOST = 6;
const LARGEST = Number.MAX_VALUE;
/** Lowest and highest of what is drawn: close, tiny and huge, of either sign. */
const SPANS: [string, number, number][] = [
  ["float32 around 1", 0.99999994, 1.0000001],
  ["neighbours at 1", 1, 1 + Number.EPSILON],
  ["neighbours at 2", 2 - Number.EPSILON, 2],
  ["neighbours at 5", 5, 5.000000000000001],
  ["neighbours below 0", -1 - Number.EPSILON, -1],
  ["1e-20", 1e-20, 3e-20],
  ["1e-30", -1e-30, 1e-30],
  ["close at 1e-30", 1e-30, 1.0000001e-30],
  ["1e-320", 0, 1e-320],
  ["the smallest", 5e-324, 1e-323],
  ["1e150", 1e150, 1.5e150],
  ["close at 1e150", 1e150, 1.0000000001e150],
  ["over all powers of ten", -1e-300, 1e300],
  ["the largest", -1.7e308, 1.7e308],
  ["the very largest", -LARGEST, LARGEST],
  ["neighbours at the largest", LARGEST * (1 - Number.EPSILON), LARGEST],
  ["1.8e18 ± 5e7", 1.8e18 - 5e7, 1.8e18 + 5e7],
  ["steps from 1e12", 1e12, 1e12 + 100],
  ["one value", 3, 3],
  ["one value below 0", -3, -3],
  ["0", 0, 0],
  ["the largest alone", LARGEST, LARGEST],
  ["losses", 0.0123, 2.31],
];

function legible(found: readonly Tick[], low: number, high: number): void {
  expect(found.length).toBeGreaterThan(1);
  expect(found.length).toBeLessThanOrEqual(2 * MOST);
  for (const { value, text } of found) {
    expect(Number(text)).toBe(value);
    expect(value).toBeGreaterThanOrEqual(low);
    expect(value).toBeLessThanOrEqual(high);
    expect(text.length).toBeLessThanOrEqual(24);
  }
  expect(new Set(found.map((tick) => tick.value)).size).toBe(found.length);
}

describe.each(SPANS)("%s", (_, low, high) => {
  test("has room around it, and ticks that can be told apart", () => {
    const [from, to] = padded(low, high);
    expect([from, to].every(Number.isFinite)).toBe(true);
    expect(from < to && from <= low && to >= high).toBe(true);
    legible(ticks(from, to, MOST), from, to);
  });

  test("has them on a logarithmic axis, where it is above 0", () => {
    if (low <= 0) return;
    const [from, to] = paddedLog(low, high);
    expect(Number.isFinite(to) && from > 0).toBe(true);
    expect(from < to && from <= low && to >= high).toBe(true);
    legible(logTicks(from, to, MOST), from, to);
  });
});

describe("ticks", () => {
  const textsOf = (low: number, high: number, most = MOST): string[] => ticks(low, high, most).map((tick) => tick.text);

  test("have as many digits as tell them apart, and no more", () => {
    expect(textsOf(0, 1)).toEqual(["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    expect(textsOf(-3, 7)).toEqual(["-2", "0", "2", "4", "6"]);
    expect(textsOf(10_000_000, 10_000_200, 2)).toEqual(["10000000", "10000100", "10000200"]);
    expect(textsOf(0.99999, 1.00001)).toEqual(["0.999990", "0.999995", "1.000000", "1.000005", "1.000010"]);
  });

  test("have exponents where these are shorter", () => {
    expect(textsOf(0, 5e7, 3)).toEqual(["0", "2e+7", "4e+7"]);
    expect(textsOf(-2e-9, 2e-9, 4)).toEqual(["-2e-9", "-1e-9", "0", "1e-9", "2e-9"]);
    expect(textsOf(-1.7e308, 1.7e308, 4)).toEqual(["-1e+308", "0", "1e+308"]);
    expect(textsOf(1e150, 1.4e150, 4)).toEqual(["1e+150", "1.1e+150", "1.2e+150", "1.3e+150", "1.4e+150"]);
  });

  test("of a logarithmic axis are powers of ten, and multiples of them where there is room", () => {
    const logs = (low: number, high: number, most = MOST): string[] => logTicks(low, high, most).map((tick) => tick.text);
    expect(logs(0.001, 10)).toEqual(["0.001", "0.01", "0.1", "1", "10"]);
    expect(logs(0.3, 30)).toEqual(["0.5", "1", "2", "5", "10", "20"]);
    expect(logs(0.05, 20)).toEqual(["0.1", "1", "10"]);
    expect(logs(1e-300, 1e300)).toEqual(["1e-202", "1e-101", "1", "1e+101", "1e+202"]);
    expect(logs(0.3, 0.8)).toEqual(["0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]);
  });

  test("are fewer where their texts would run into one another", () => {
    const [low, high] = [1.8e18 - 5e7, 1.8e18 + 5e7];
    const found = fitting(low, high, MOST, 47);
    expect(found.length).toBe(3);
    expect(longest(found.map((tick) => tick.text))).toBe(17);
    expect(fitting(low, high, MOST, 10).length).toBeGreaterThan(0);
    expect(fitting(-LARGEST, LARGEST, MOST, 47).length).toBeGreaterThan(2);
  });

  test("are never none, wherever the range lies between round numbers", () => {
    expect(fitting(0.5, 609, 3, 33).map((tick) => tick.text)).toEqual(["200", "400", "600"]);
    expect(fitting(2.05, 2.95, 3).map((tick) => tick.text)).toEqual(["2.2", "2.4", "2.6", "2.8"]);
    for (let high = 3; high < 3000; high += 61.3)
      for (const low of [-high, 0, 0.5, 2, high / 2, high * 0.9])
        for (const most of [1, 2, 3, 5]) expect(fitting(low, high, most, 33), `${low} to ${high}`).not.toEqual([]);
  });
});

test("an axis is never narrower than its ticks can be told apart, nor than is asked for", () => {
  expect(widened(1, 2)).toEqual([1, 2]);
  const [low, high] = widened(1.7e9, 1.7e9 + 1e-6, 0.01);
  expect(high - low).toBeCloseTo(0.01, 5);
  expect(widened(-Infinity, Infinity)).toEqual([-LARGEST, LARGEST]);
});
