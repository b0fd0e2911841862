import { expect, test } from "vitest";

import type { MetricFields } from "../../api/types";
import { axes, axisOf, chartGroups, chartInside, chartOfKey, insteadOf, numbersInside } from "./groups";

const metrics: MetricFields[] = [
  { name: "train", fields: ["step", "loss", "acc"] },
  { name: "layers/1/grad", fields: ["norm"] },
  { name: "layers/1/weight", fields: ["norm"] },
  { name: null, fields: ["step"] },
  { name: "alone", fields: ["x"] },
];

test("charts are grouped by the beginning of the metric's name", () => {
  expect(chartGroups(metrics, "").map((group) => [group.name, group.charts.map((chart) => chart.title)])).toEqual([
    ["train", ["train/loss", "train/acc"]],
    ["layers/1", ["layers/1/grad/norm", "layers/1/weight/norm"]],
    ["others", ["step", "alone/x"]],
  ]);
});

test("names and groups are in the order in which people count, and what a run is judged by comes first", () => {
  const names = ["layer/10/w", "system/gpu", "layer/2/w", "train", "extra/b", "extra/a", "eval", "layer/10/b", "layer/2/b", "test", "system/cpu"];
  const given = names.map((name) => ({ name, fields: ["x", "y"] }));
  const found = chartGroups(given, "").map((group) => [group.name, group.charts.map((chart) => chart.name)]);
  expect(found.map(([name]) => name)).toEqual(["eval", "test", "train", "extra", "layer/2", "layer/10", "system"]);
  expect(found[3]![1]).toEqual(["extra/a", "extra/a", "extra/b", "extra/b"]);
  expect(found[4]![1]).toEqual(["layer/2/b", "layer/2/b", "layer/2/w", "layer/2/w"]);
});

test("a search keeps what has all of its words", () => {
  expect(chartGroups(metrics, "Grad layers").flatMap((group) => group.charts.map((chart) => chart.title))).toEqual([
    "layers/1/grad/norm",
  ]);
});

test("a metric without the chosen field is drawn by its index", () => {
  expect(axisOf("step", { name: "train", fields: ["step", "loss"] })).toBe("step");
  expect(axisOf("epoch", { name: "train", fields: ["step", "loss"] })).toBe("index");
  expect(axisOf("time", { name: null, fields: [] })).toBe("time");
  expect(axisOf("step", { name: "system/cpu", fields: ["percent"] })).toBe("relative");
  expect(insteadOf("epoch", { name: "train", fields: ["step", "loss"] })).toContain("no epoch");
  expect(insteadOf("step", { name: "train", fields: ["step", "loss"] })).toBeNull();
  expect(insteadOf("step", { name: "system/cpu", fields: ["percent"] })).toBeNull();
  expect(axes(metrics).map(([name]) => name)).toEqual(["step", "index", "time", "relative"]);
});

test("the numbers of a nested dict have dotted names", () => {
  expect(numbersInside({ x: 1, y: { z: 2, t: "a" }, l: [1] }, "d")).toEqual(["d.x", "d.y.z"]);
  expect(numbersInside("text", "d")).toEqual([]);
  expect(numbersInside(undefined, "d")).toEqual([]);
});

test("the address means a chart, or one of a number inside of its dicts", () => {
  const charts = chartGroups([{ name: 'd"', fields: ["d", "de"] }], "").flatMap((group) => group.charts);
  const [dict, other] = charts;
  expect(chartOfKey(charts, dict!.key)).toBe(dict);
  expect(chartOfKey(charts, other!.key)).toBe(other);
  const inside = chartInside(dict!, "d.a.b");
  expect(inside.title).toBe('d"/d.a.b');
  expect(chartOfKey(charts, inside.key)).toEqual(inside);
  for (const key of [null, "", "[", '["d","x.y"]']) expect(chartOfKey(charts, key)).toBeUndefined();
  expect(chartOfKey(charts, '["d\\"","d.\\x"]')?.name).toBe('d"');
});
