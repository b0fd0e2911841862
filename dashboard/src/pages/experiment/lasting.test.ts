import { expect, test } from "vitest";

import { lasting } from "./lasting";

const at = (second: number): string => new Date(second * 1000).toISOString();
const run = { startedAt: at(100), endedAt: null, stale: false, lastActivity: at(100.02) };

test("a run that goes on takes time from its first moment, whatever the clocks say", () => {
  expect(lasting(run, 160_000)).toEqual({ label: "Running for", seconds: 60 });
  expect(lasting(run, 95_000)!.seconds).toBeCloseTo(0.02);
  expect(lasting({ ...run, lastActivity: null }, 95_000)).toEqual({ label: "Running for", seconds: 0 });
});

test("a stale run is not running: it was heard of for so long", () => {
  const stale = lasting({ ...run, stale: true, lastActivity: at(130) }, 9e6)!;
  expect(stale.label).not.toContain("Running");
  expect(stale.seconds).toBe(30);
  expect(lasting({ ...run, stale: true, lastActivity: null }, 9e6)!.seconds).toBeNull();
});

test("one that has ended took so long, and one that never began nothing", () => {
  expect(lasting({ ...run, endedAt: at(101) }, 0)).toEqual({ label: "Took", seconds: 1 });
  expect(lasting({ ...run, startedAt: null }, 0)).toBeNull();
});
