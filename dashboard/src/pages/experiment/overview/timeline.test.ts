import { expect, test } from "vitest";

import { timeline } from "./timeline";

const at = (second: number): string => new Date(second * 1000).toISOString();

test("attempts lie where they ran; one that goes on lies up to now", () => {
  const spans = timeline(
    [
      { startedAt: at(60), endedAt: null, stale: false },
      { startedAt: at(0), endedAt: at(50), stale: false },
    ],
    100_000,
  );
  expect(spans).toEqual([
    { left: 0.6, width: 0.4, seconds: 40 },
    { left: 0, width: 0.5, seconds: 50 },
  ]);
});

test("one that was killed lies up to the next one, and no clock makes any of them negative", () => {
  const spans = timeline(
    [
      { startedAt: at(100), endedAt: null, stale: true },
      { startedAt: at(20), endedAt: null, stale: true },
      { startedAt: at(10), endedAt: at(5), stale: false },
    ],
    50_000,
  );
  expect(spans.map((each) => each.seconds)).toEqual([0, 80, 0]);
  for (const { left, width } of spans) expect(left >= 0 && width >= 0 && left + width <= 1).toBe(true);
  expect(timeline([{ startedAt: at(1), endedAt: at(1), stale: false }], 0)[0]).toEqual({ left: 0, width: 0, seconds: 0 });
});
