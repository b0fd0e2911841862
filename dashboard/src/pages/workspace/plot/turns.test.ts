import { beforeEach, expect, test, vi } from "vitest";

import { inTurn, outOfTurn, scrolls } from "./turns";

let frames: (() => void)[] = [];
let now = 0;

beforeEach(() => {
  frames = [];
  now += 10_000;
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => frames.push(run));
  vi.spyOn(performance, "now").mockImplementation(() => now);
});

function frame(): void {
  for (const run of frames.splice(0)) run();
}

test("charts are drawn at once where nobody scrolls", () => {
  const drawn: string[] = [];
  for (const id of ["a", "b", "c"]) inTurn(id, () => drawn.push(id));
  expect([drawn, frames.length]).toEqual([["a", "b", "c"], 0]);
});

test("while somebody scrolls, one is drawn a frame, as it was asked for last", () => {
  const drawn: string[] = [];
  scrolls();
  for (const id of ["a", "b", "c", "a"]) inTurn(id, () => drawn.push(id + drawn.length));
  expect(drawn).toEqual([]);
  frame();
  expect(drawn).toEqual(["a0"]);
  outOfTurn("b");
  // who comes when all is at rest again waits behind those that wait
  now += 1000;
  inTurn("d", () => drawn.push("d"));
  frame();
  frame();
  expect([drawn, frames.length]).toEqual([["a0", "c1", "d"], 0]);
  inTurn("e", () => drawn.push("e"));
  expect(drawn.at(-1)).toBe("e");
});
