import { expect, test } from "vitest";

import { experimentPath, prefixOf } from "./url";

test("the address of an experiment's page names it, with a slash at its end too", () => {
  const prefix = "alice/vision/50 %/a?b";
  expect(prefixOf(experimentPath(prefix))).toBe(prefix);
  expect(prefixOf(`${experimentPath(prefix)}/`)).toBe(prefix);
  expect(prefixOf(`${experimentPath(prefix)}//`)).toBe(prefix);
  expect(prefixOf("/experiments/")).toBe(null);
  expect(prefixOf("/compare")).toBe(null);
});
