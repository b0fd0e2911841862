import { afterEach, expect, test } from "vitest";

import { metricColumn, paramColumn, recordColumn } from "../columns";
import { headOf, laidOut, movedBefore, movedBy, possible, sizing, widened, widthOf, widthOfTexts } from "./layout";

afterEach(() => {
  sizing.value = null;
});

test("a column has the width that somebody gave it, while it is dragged that of the mouse, and at first its own", () => {
  const widths = new Map([["params.lr", 200]]);
  expect([widthOf("params.lr", widths, false), widthOf("tags", widths, false), widthOf("params.x", widths, true)]).toEqual([200, 120, 118]);
  expect(widthOf("name", widths, false, 240)).toBe(240);
  sizing.value = { key: "params.lr", width: 90 };
  expect(widthOf("params.lr", widths, false)).toBe(90);
  expect([possible(-5), possible(123.4), possible(1e6)]).toEqual([48, 123, 800]);
});

test("columns that stay in sight come first, the others as they were", () => {
  const columns = [recordColumn("status"), paramColumn("lr"), recordColumn("tags")];
  expect(laidOut(columns, ["tags", "gone"]).map(({ key }) => key)).toEqual(["tags", "status", "params.lr"]);
});

test("a column is moved before another one, or by a place, and no further than there are columns", () => {
  const keys = ["a", "b", "c"];
  expect(movedBefore(keys, "c", "a")).toEqual(["c", "a", "b"]);
  expect(movedBefore(keys, "a", null)).toEqual(["b", "c", "a"]);
  expect(movedBefore(keys, "a", "a")).toEqual(keys);
  expect(movedBefore(keys, "a", "gone")).toEqual(keys);
  expect(movedBy(keys, "a", 1)).toEqual(["b", "a", "c"]);
  expect(movedBy(keys, "a", -1)).toEqual(keys);
  expect(movedBy(keys, "c", 1)).toEqual(keys);
});

test("columns are as wide as their texts where there is room, and share what there is of it", () => {
  expect([widthOfTexts([]), widthOfTexts(["0.1", "randaugment"]), widthOfTexts(["x".repeat(500)])]).toEqual([14, 91, 260]);
  expect(widened([72, 72], [100, 60], 1000)).toEqual([100, 72]);
  expect(widened([72, 72, 72], [112, 72, 132], 266)).toEqual([92, 72, 102]);
  expect(widened([72, 72], [200, 200], 100)).toEqual([72, 72]);
});

test("columns whose last names are the same are told by their whole names", () => {
  const among = [paramColumn("model.name"), paramColumn("optimizer.name"), paramColumn("optimizer.lr")];
  expect(among.map((each) => headOf(each, among))).toEqual(["model.name", "optimizer.name", "lr"]);
  const losses = [metricColumn({ name: "val", field: "loss" }, "min"), metricColumn({ name: "train", field: "loss" }), paramColumn("loss")];
  expect(losses.map((each) => headOf(each, losses))).toEqual(["val/loss", "train/loss", "loss"]);
  // the same field twice is told apart by what stands beside it
  const twice = [metricColumn({ name: "val", field: "loss" }, "min"), metricColumn({ name: "val", field: "loss" }, "max")];
  expect(headOf(twice[0]!, twice)).toBe("loss");
});
