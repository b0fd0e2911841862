import { expect, test } from "vitest";

import { shortNames } from "./names";

test("names are as short as they can be told apart", () => {
  expect(shortNames(["a/p/x", "a/p/y"])).toEqual(["x", "y"]);
  expect(shortNames(["a/p/x", "a/q/x"])).toEqual(["p/x", "q/x"]);
  expect(shortNames(["a/p/x", "a/p/x"])).toEqual(["a/p/x", "a/p/x"]);
  expect(shortNames([])).toEqual([]);
});
