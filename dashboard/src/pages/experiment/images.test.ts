import { expect, test } from "vitest";

import { ownImages, placeOf } from "./images";

test("an image of the run's own files is known by its name, however it is written", () => {
  for (const address of ["plots/a b.png", "./plots/a%20b.png", "/plots//a%20b.png?x=1#y"]) {
    expect(placeOf(address)).toEqual({ kind: "own", name: "plots/a b.png" });
  }
  expect(placeOf("100%.png")).toEqual({ kind: "own", name: "100%.png" });
});

test("what is elsewhere is no file of the run, and no data but pictures is shown", () => {
  for (const address of ["https://x.org/a.png", "//x.org/a.png", "file:///etc/passwd", "javascript:alert(1)", "../a.png", "a/../../b", "", "data:text/html,x", "data:image/svg+xml;base64,x"]) {
    expect(placeOf(address), address).toEqual({ kind: "elsewhere" });
  }
  expect(placeOf("data:image/png;base64,AAAA")).toEqual({ kind: "data" });
});

test("the images of a text are found wherever they stand, each once, and not in code", () => {
  const text = "# x ![a](a.png)\n\n- [![b](b.png)](https://x.org)\n\n| ![c](c.png) |\n|---|\n| ![a](a.png) |\n\n`![d](d.png)`\n\n![e](https://x.org/e.png)";
  expect(ownImages(text).sort()).toEqual(["a.png", "b.png", "c.png"]);
});
