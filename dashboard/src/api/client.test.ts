import { expect, test } from "vitest";

import { decode } from "./client";

test("what JSON lacks is told by an object, and becomes the number that it is", () => {
  expect(decode('{"a": {"__float__": "NaN"}, "b": [{"__float__": "-Infinity"}, 1]}')).toEqual({
    a: Number.NaN,
    b: [Number.NEGATIVE_INFINITY, 1],
  });
});

test("an integer that no double holds keeps its digits, where the browser tells them", () => {
  const tells = JSON.parse("1", (_: string, __: unknown, context?: { source?: string }) => context?.source) === "1";
  const long = tells ? "1152921504606846977" : 1152921504606847000;
  expect(decode('{"a": 1152921504606846977, "b": 12345678, "c": 0.12345678901234567, "d": -2e300}')).toEqual({
    a: long,
    b: 12345678,
    c: 0.12345678901234567,
    d: -2e300,
  });
  expect(decode('{"a": "1152921504606846977, "}')).toEqual({ a: "1152921504606846977, " });
  expect(decode('{"a": 1152921504606846977}', false)).toEqual({ a: 1152921504606847000 });
});
