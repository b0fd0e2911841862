import { expect, test } from "vitest";

import type { FieldSummary } from "../../api/types";
import { diffRows, resultRows, surroundingsOf, uncommittedOf } from "./diff";

const summary = (last: unknown, min: unknown, max: unknown): FieldSummary =>
  ({ last, min, max, lastStep: 9, minStep: 3, maxStep: 5 }) as FieldSummary;

test("values are held against the baseline, and what one lacks is a difference", () => {
  const rows = diffRows([{ lr: 0.1, model: { d: [1] } }, { lr: 0.2, model: { d: [1] } }, { model: { d: [1] }, "x.10": null, "x.9": 1 }], 1);
  expect(rows.map((row) => [row.name, row.differs])).toEqual([
    ["lr", true],
    ["model", false],
    ["x.9", true],
    ["x.10", true],
  ]);
  const [lr, , , ten] = rows;
  expect(lr!.cells.map((each) => [each.value, each.differs, each.change])).toEqual([
    [0.1, true, -0.5],
    [0.2, false, null],
    [undefined, true, null],
  ]);
  // null is a value, and not what is lacking
  expect(ten!.cells.map((each) => each.differs)).toEqual([false, false, true]);
});

test("a change is a share of the baseline, whatever its sign, and nothing where that is no number", () => {
  const change = (from: unknown, to: unknown): number | null => diffRows([{ a: from }, { a: to }], 0)[0]!.cells[1]!.change;
  expect(change(-2, -1)).toBe(0.5);
  expect(change(-2, -3)).toBe(-0.5);
  expect(change(2n ** 60n, 2n ** 61n)).toBe(1);
  for (const [from, to] of [[0, 1], ["a", 1], [1, Number.NaN], [1, Number.POSITIVE_INFINITY], [true, 2]]) expect(change(from, to)).toBeNull();
});

test("of each metric there are the last and the best value, with their steps, and which is better", () => {
  const runs = [
    { metrics: { val: { acc: summary(0.5, 0.1, 0.8), odd: summary(1, 0, 2), step: summary(9, 0, 9) }, "": { loss: summary(2, 1, 3) }, system: { cpu: summary(1, 1, 1) } } },
    { metrics: { val: { acc: summary(0.4, 0.1, 0.9) }, "": { loss: summary(2, 0.5, 3) } } },
  ];
  const rows = resultRows(runs, 0);
  expect(rows.map((row) => row.name)).toEqual(["loss, min", "loss, last", "val/acc, max", "val/acc, last", "val/odd, last"]);
  const better = Object.fromEntries(rows.map((row) => [row.name, row.cells[1]!.better]));
  expect(better).toEqual({ "loss, min": true, "loss, last": null, "val/acc, max": true, "val/acc, last": false, "val/odd, last": null });
  expect(rows[2]!.cells.map((each) => [each.value, each.step])).toEqual([[0.8, 5], [0.9, 5]]);
  expect(rows[4]!.cells[1]!.value).toBeUndefined();
});

test("an image is no result: the name of its file differs in each run", () => {
  const image = { "sample.file": summary("a.png", null, null), "sample._type": summary("image", null, null), loss: summary(1, 0, 2) };
  expect(resultRows([{ metrics: { val: image } }], 0).map((row) => row.name)).toEqual(["val/loss, min", "val/loss, last"]);
});

test("what a run has defined as the best counts more than a name", () => {
  const runs = [{ metrics: { val: { loss: summary(1, 0, 2) } }, best: [{ metric: "val", field: "loss", value: "max" as const }] }];
  expect(resultRows(runs, 0).map((row) => row.name)).toEqual(["val/loss, max", "val/loss, last"]);
});

test("surroundings are flat, without long texts, and whatever somebody put there", () => {
  const given = { host: "h", git: { commit: "c", diff: "+a", untracked: ["x"] }, python: { version: "3" }, packages: { a: "1" }, gpus: [{ name: "G" }, 5] };
  expect(surroundingsOf(given)).toEqual({ host: "h", "git.commit": "c", "python.version": "3", gpus: ["G", undefined] });
  expect(uncommittedOf(given)).toBe("+a");
  expect([uncommittedOf({ git: 5 }), uncommittedOf({})]).toEqual(["", ""]);
  expect(surroundingsOf({ git: 5, gpus: "x" })).toEqual({ git: 5 });
});
