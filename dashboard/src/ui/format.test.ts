import { expect, test } from "vitest";

import { ago, bytes, clean, duration, localTime, number, rounded, several, text } from "./format";

const NOW = Date.parse("2026-01-01T12:00:00Z");

test("times are told from now, those of a clock that is ahead too", () => {
  expect(ago("2026-01-01T11:59:58Z", NOW)).toBe("just now");
  expect(ago("2026-01-01T11:58:00Z", NOW)).toBe("2 minutes ago");
  expect(ago("2026-01-01T15:00:00Z", NOW)).toBe("in 3 hours");
  expect(ago("2020-01-01T00:00:00Z", NOW)).toBe("6 years ago");
  expect(ago("nonsense", NOW)).toBe("nonsense");
  expect(ago("2026-01-01T11:58:00Z", NOW, true)).toBe("2m ago");
});

test("a moment is told by the reader's own clock", () => {
  expect(localTime(new Date(2026, 0, 31, 9, 5, 0).toISOString())).toBe("2026-01-31 09:05:00");
  expect(localTime("nonsense")).toBe("nonsense");
});

test("durations are told in two units, and a negative one is none", () => {
  expect([0.5, 5, 59.6, 61, 3725, 200_000].map(duration)).toEqual([
    "500 ms",
    "5.0 s",
    "60 s",
    "1 min 01 s",
    "1 h 02 min",
    "2 d 7 h",
  ]);
  expect(duration(-3)).toBe("–");
  expect(duration(Number.NaN)).toBe("–");
});

test("numbers are what was logged, and what is none is told", () => {
  const logged = [0, 20240101, 0.000123456789, 1234567.891, 12345680, Number.NaN, Infinity, -Infinity];
  expect(logged.map(number)).toEqual(["0", "20240101", "0.000123456789", "1234567.891", "12345680", "NaN", "∞", "−∞"]);
  expect([0.1 + 0.2, 1 / 3, Number.NaN].map((value) => rounded(value, 6))).toEqual(["0.3", "0.333333", "NaN"]);
});

test("a number without noise keeps all digits of a whole one", () => {
  expect([0.1 + 0.2, 1.8e18 + 1024, 1e12 + 0.5].map(clean)).toEqual(["0.3", "1800000000000001000", "1000000000000.5"]);
});

test("values are one line of text, whatever they are", () => {
  expect([2n ** 60n + 1n, [Number.NaN, -Infinity, 2n ** 60n + 1n], { a: -0 }, -0].map(text)).toEqual([
    "1152921504606846977",
    "[NaN,-Infinity,1152921504606846977]",
    '{"a":-0}',
    "-0",
  ]);
  expect([null, undefined, true, "a", 2, [1, "x"], { a: 1 }, { __repr__: "<Odd>", __type__: "m.Odd" }].map(text)).toEqual([
    "–",
    "–",
    "true",
    "a",
    "2",
    '[1,"x"]',
    '{"a":1}',
    "<Odd>",
  ]);
});

test("sizes and counts", () => {
  expect([0, 999, 1500, 2_500_000, 3e9, 4e12].map(bytes)).toEqual(["0 B", "999 B", "1.50 kB", "2.50 MB", "3.00 GB", "4.00 TB"]);
  expect([several(1, "run"), several(2000, "run")]).toEqual(["1 run", "2,000 runs"]);
});
