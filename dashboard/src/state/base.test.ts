import { expect, test } from "vitest";

import { addressOf, pathIn } from "./base";

test("below a path of a host, an address begins with that path and a page does not see it", () => {
  for (const path of ["/", "/compare?e=a", "/experiments/ml-dash/x"]) {
    expect(pathIn(addressOf(path, "/ml-dash"), "/ml-dash")).toBe(path);
    expect(pathIn(addressOf(path, ""), "")).toBe(path);
  }
  expect(pathIn("/ml-dash", "/ml-dash")).toBe("/");
});

test("a path that only begins alike is another one", () => {
  expect(pathIn("/ml-dashboard/x", "/ml-dash")).toBe("/ml-dashboard/x");
});
