import { expect, test } from "vitest";

import { missingOnPaper, onPaper, PAPER_MAX } from "./paper";

function section(count: number, open = true): { open: boolean; charts: number[] } {
  return { open, charts: Array.from({ length: count }, (_, at) => at) };
}

test("sections that are open are put on paper one after the other, as far as there is room", () => {
  expect(onPaper([section(5), section(7, false), section(2)])).toEqual([5, 0, 2]);
  expect(onPaper([section(3), section(9), section(1)], 10)).toEqual([3, 7, 0]);
});

test("what is not on paper is said there", () => {
  expect(missingOnPaper([section(5)], true)).toBe("");
  expect(missingOnPaper([section(5), section(8, false)], true)).toBe("Not on paper: 8 charts of sections that are closed.");
  expect(missingOnPaper([section(PAPER_MAX + 1), section(1, false)], true)).toBe(
    "Not on paper: 1 chart behind the first 120, and 1 chart of sections that are closed.",
  );
  expect(missingOnPaper([section(5)], false)).toContain("as far as they were in sight");
});
