import { expect, test } from "vitest";

import { type Column, densityOf, endsOf, ridgesOf } from "./distribution";

const columns: Column[] = Array.from({ length: 100 }, (_, step) => ({
  step: step * 10,
  histogram: { counts: [1, 3], edges: [-step, 0, 1], odd: 0 },
}));

test("ridges are as many as can be told apart, from the first step to the last, with the chosen one", () => {
  const steps = (chosen: number): number[] => ridgesOf(columns, chosen).map(({ step }) => step);
  for (const chosen of [0, 370, 480, 990]) {
    const found = steps(chosen);
    expect(found.length).toBe(24);
    expect([found[0], found.at(-1)]).toEqual([0, 990]);
    expect(found).toContain(chosen);
    expect([...found].sort((a, b) => a - b)).toEqual(found);
  }
  expect(steps(5)).toEqual(steps(-1));
  expect(ridgesOf(columns.slice(0, 2), 10).length).toBe(2);
});

test("a wide bin is as high as its share of values, and all steps have the ends of all", () => {
  expect(densityOf({ counts: [4, 3, 2], edges: [0, 2, 3, 3], odd: 0 })).toEqual([2, 3, 2]);
  expect(endsOf(columns)).toEqual([-99, 1]);
  expect(endsOf([])).toBe(null);
});
