import { expect, test } from "vitest";

import { axisOf } from "./scale";

test("numbers lie by their size, and over several powers of ten by their logarithm", () => {
  expect([0, 5, 10].map(axisOf([0, 10]).at)).toEqual([0, 0.5, 1]);
  expect(axisOf([0.001, 1]).at(0.0316227766)).toBeCloseTo(0.5);
});

test("texts lie side by side, and what is not there nowhere", () => {
  const axis = axisOf(["sgd", "adam", null, "sgd"]);
  expect([axis.at("adam"), axis.at("sgd"), axis.at(null), axis.at("other")]).toEqual([0, 1, null, null]);
  expect(axis.ticks.map((tick) => tick.label)).toEqual(["adam", "sgd"]);
});

test("one value lies in the middle", () => {
  expect(axisOf([3, 3]).at(3)).toBe(0.5);
});

test("integers that no double holds lie among the numbers, and among texts under all their digits", () => {
  expect([2n ** 60n, 0, 2n ** 59n].map(axisOf([0, 2n ** 60n]).at)).toEqual([1, 0, 0.5]);
  expect(axisOf(["a", 2n ** 60n + 1n]).at(2n ** 60n + 1n)).toBe(0);
});

test("what is no number has no place among numbers, and does not make texts of them", () => {
  const axis = axisOf([0.9901, Number.NaN, 0.9902, Number.POSITIVE_INFINITY]);
  expect([0.9901, 0.9902, Number.NaN, Number.POSITIVE_INFINITY].map(axis.at)).toEqual([0, 1, null, null]);
  expect(axis.ticks.map((tick) => tick.label)).toEqual(["0.99010", "0.99012", "0.99014", "0.99016", "0.99018", "0.99020"]);
});

test.each([
  [0.99999994, 1.0000001],
  [1, 1 + Number.EPSILON],
  [1e-30, 3e-30],
  [1e150, 1.5e150],
  [-1.7e308, 1.7e308],
  [5e-324, 1.7e308],
  [1.8e18 - 5e7, 1.8e18 + 5e7],
])("%d and %d lie at the ends, with ticks between them that can be told apart", (low, high) => {
  const axis = axisOf([low, high]);
  expect([low, high].map(axis.at)).toEqual([0, 1]);
  const places = axis.ticks.map((tick) => tick.at);
  expect(places.length).toBeGreaterThan(1);
  expect(places.every((at) => at >= 0 && at <= 1)).toBe(true);
  expect(new Set(axis.ticks.map((tick) => tick.label)).size).toBe(places.length);
});
