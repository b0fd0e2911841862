import { expect, test } from "vitest";

import { closer, moved } from "./mouse";
import { keyed } from "./plot";

test("coming closer keeps what is under the mouse where it is", () => {
  const [low, high] = closer([0, 100], 25, 2);
  expect([low, high]).toEqual([12.5, 62.5]);
  expect((25 - low) / (high - low)).toBeCloseTo(0.25);
  expect(closer([low, high], 25, 0.5)).toEqual([0, 100]);
});

test("moving keeps the width", () => {
  expect(moved([10, 20], 0.5)).toEqual([15, 25]);
});

test("keys come closer, move, and show all again", () => {
  expect(keyed("+", [0, 100])).toEqual([25, 75]);
  expect(keyed("-", [25, 75])).toEqual([0, 100]);
  expect(keyed("ArrowLeft", [100, 200])).toEqual([75, 175]);
  expect(keyed("ArrowRight", [100, 200])).toEqual([125, 225]);
  expect(keyed("0", [1, 2])).toBeNull();
  expect(keyed("a", [1, 2])).toBeUndefined();
});
