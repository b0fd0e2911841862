import { expect, test } from "vitest";

import { scriptsIn } from "./fresh";

test("a page's scripts are known by their names, wherever they lie", () => {
  const page = '<script type="module" crossorigin src="/below/assets/index-a1B2.js"></script><link rel="stylesheet" href="/x.css">';
  expect(scriptsIn(page)).toEqual(["index-a1B2.js"]);
  expect(scriptsIn("<h1>502 Bad Gateway</h1>")).toEqual([]);
});
