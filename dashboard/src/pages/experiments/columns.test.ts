import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { pathname: "/", search: "" });
vi.stubGlobal("window", { addEventListener: () => undefined });
const { columnOf, metricColumn, ordered, paramColumn } = await import("./columns");

test("an address names a column, whatever is in its name", () => {
  for (const column of [
    paramColumn("a/b:c d"),
    metricColumn({ name: "train/x y", field: "loss/é" }),
    metricColumn({ name: null, field: "loss" }),
  ]) {
    expect(columnOf(column.key)).toEqual(column);
  }
  for (const key of ["", "p:", "m:", "m:x", "nothing", "m:%/x"]) expect(columnOf(key)).toBeNull();
});

test("what is not there comes last in both directions", () => {
  const values = [2, null, 10, Number.NaN, 1];
  expect([...values].sort((a, b) => ordered(a, b, false)).slice(0, 3)).toEqual([1, 2, 10]);
  expect([...values].sort((a, b) => ordered(a, b, true)).slice(0, 3)).toEqual([10, 2, 1]);
});

test("integers of any length sort by their size", () => {
  const values = [3, 9007199254740993n, -9007199254740993n, 9007199254740992, 0.5];
  expect([...values].sort((a, b) => ordered(a, b, false))).toEqual([
    -9007199254740993n, 0.5, 3, 9007199254740992, 9007199254740993n,
  ]);
});

test("texts with numbers sort as people count", () => {
  expect(["run10", "run9", "Run1"].sort((a, b) => ordered(a, b, false))).toEqual(["Run1", "run9", "run10"]);
});
