import { expect, test } from "vitest";

import { dayTicks, sinceTicks } from "./time";

test("ticks of times are at whole parts of an hour or a day, in order and no more than there is room for", () => {
  const start = Date.parse("2026-01-31T09:12:34Z") / 1000;
  for (const span of [10, 100, 3000, 40_000, 300_000, 3e7]) {
    const found = dayTicks(start, start + span, 6);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThanOrEqual(7);
    expect(found.every(({ value }, at) => value >= start && value <= start + span && (!at || value > found[at - 1]!.value))).toBe(true);
    expect(new Set(found.map(({ text }) => text)).size).toBe(found.length);
  }
});

test("times since a start are told in the unit that fits", () => {
  const texts = (high: number): string[] => sinceTicks(0, high, 4).map(({ text }) => text);
  expect(texts(40)).toEqual(["0s", "10s", "20s", "30s", "40s"]);
  expect(texts(3600)).toEqual(["0s", "15m", "30m", "45m", "1h"]);
  expect(texts(4 * 86_400)).toEqual(["0s", "24h", "2d", "3d", "4d"]);
  expect(sinceTicks(0, 0.5, 4)).toEqual([]);
});
