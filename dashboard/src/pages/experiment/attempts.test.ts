import { expect, test } from "vitest";

import type { Attempt, Experiment } from "../../api/types";
import { LINES_MAX, linesOf } from "./attempts";
import { chartGroups } from "./groups";

const chart = chartGroups([{ name: "train", fields: ["loss"] }], "")[0]!.charts[0]!;

function lines(...resumed: (number | null)[]): [string, number | undefined][] {
  const attempts = resumed
    .map((resumeFrom, at) => ({ number: at + 1, resumeFrom }) as Attempt)
    .reverse();
  const record = { id: "exp_1", attempts: attempts.length } as Experiment;
  const found = linesOf(chart, record, attempts);
  expect(new Set(found.map((line) => line.key)).size).toBe(found.length);
  return found.map((line) => [line.label, line.attempt]);
}

test("attempts are drawn apart", () => {
  expect(lines(null)).toEqual([["loss", undefined]]);
  expect(lines(null, null)).toEqual([["attempt 1", 1], ["attempt 2", 2]]);
  expect(lines(null, 100, null)).toEqual([["attempt 1", 1], ["attempt 2", 2], ["attempt 3", 3]]);
});

test("attempts that go on from a step are one line", () => {
  expect(lines(null, 100, 50)).toEqual([["loss", undefined]]);
});

test("of many attempts the newest are drawn", () => {
  const found = lines(...Array.from({ length: 30 }, () => null));
  expect(found.length).toBe(LINES_MAX);
  expect(found.at(-1)).toEqual(["attempt 30", 30]);
});
