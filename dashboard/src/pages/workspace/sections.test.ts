import { expect, test } from "vitest";

import { axesOf, axisOf, chartsOf, matcher, ownCharts, partTitle, sectionsOf, shortTitle, within } from "./sections";

const METRICS = [
  { name: "train", fields: ["step", "loss", "lr"] },
  { name: "system/gpu", fields: ["util"] },
  { name: "val", fields: ["epoch", "acc"] },
  { name: null, fields: ["reward"] },
  { name: "layer10", fields: ["norm"] },
  { name: "layer9", fields: ["norm"] },
];
const FIRST = { find: "", turned: new Set<string>(), pinned: [] };

test("sections come in the order in which people look: validation, training, the rest by name, the machine last and closed", () => {
  const sections = sectionsOf(chartsOf(METRICS), [], FIRST);
  expect(sections.map(({ name }) => name)).toEqual(["val", "train", "charts", "layer9", "layer10", "system"]);
  expect(sections.map(({ open }) => open)).toEqual([true, true, true, true, true, false]);
  expect(sections[1]!.charts.map((chart) => shortTitle(chart, "train"))).toEqual(["loss", "lr"]);
});

test("what is pinned stands above all, and the search is a regular expression, or words where it is none", () => {
  const charts = chartsOf(METRICS);
  const pinned = sectionsOf(charts, [], { ...FIRST, pinned: ["val/acc", "gone"], turned: new Set(["system"]) });
  expect(pinned[0]).toMatchObject({ name: "Pinned", charts: [{ title: "val/acc" }] });
  expect(pinned.at(-1)).toMatchObject({ name: "system", open: true });
  expect(sectionsOf(charts, [], { ...FIRST, find: "loss|acc$" }).map(({ name }) => name)).toEqual(["val", "train"]);
  expect(matcher("val (")("val/acc (x)")).toBe(true);
});

test("an x that a metric lacks is the time since the start for it, and what every row has can always be chosen", () => {
  expect(axesOf(METRICS).map(([name]) => name)).toEqual(["step", "epoch", "index", "relative", "time"]);
  expect(axisOf("step", { fields: ["step", "loss"] })).toBe("step");
  expect(axisOf("step", { fields: ["epoch", "acc"] })).toBe("relative");
  expect(axisOf("index", { fields: [] })).toBe("index");
});

test("a chart is put together of names, patterns and expressions", () => {
  const of = (...lines: string[]): string[] => ownCharts([{ title: "own", lines }], chartsOf(METRICS), METRICS)[0]!.parts.map(partTitle);
  expect(of("train/loss", "val/acc")).toEqual(["train/loss", "val/acc"]);
  expect(of("layer*/norm")).toEqual(["layer9/norm", "layer10/norm"]);
  expect(of("/loss|acc/")).toEqual(["train/loss", "val/acc"]);
  expect(of("/nothing/")).toEqual([]);
  expect(of("val/acc - train/loss", "cummin(train/loss)", "train/loss * 2")).toEqual([
    "val/acc - train/loss", "cummin(train/loss)", "train/loss * 2",
  ]);
  const [own] = ownCharts([{ title: "own", lines: ["train/loss"] }], chartsOf(METRICS), METRICS);
  expect([axisOf("step", own!), axisOf("epoch", own!)]).toEqual(["step", "relative"]);
});

test("what is said of an image is no chart, and another field that begins alike is one", () => {
  const fields = ["loss", "sample._type", "sample.width", "sample.file", "samples"];
  expect(chartsOf([{ name: "val", fields }]).map(({ title }) => title)).toEqual(["val/loss", "val/samples"]);
});

test("of hundreds of sections the first are made, as many as have so many charts; a closed one is no more than its head", () => {
  const wide = Array.from({ length: 500 }, (_, at) => ({ name: `layer${at}`, fields: Array.from({ length: 20 }, (_, unit) => `unit${unit}`) }));
  const all = sectionsOf(chartsOf(wide), [], FIRST);
  expect(within(all, 48).map(({ name }) => name)).toEqual(["layer0", "layer1", "layer2"]);
  expect(within(sectionsOf(chartsOf(wide), [], { ...FIRST, turned: new Set(["layer0", "layer1"]) }), 48).length).toBe(5);
  expect(within(all, 100_000)).toBe(all);
  expect(within([], 48)).toEqual([]);
});

test("each chart has a title of its own, also where names of a metric and of a field run into one another", () => {
  const charts = chartsOf([{ name: "val", fields: ["a/loss"] }, { name: "val/a", fields: ["loss"] }, { name: null, fields: ["val/a/loss"] }]);
  expect(charts.map((chart) => chart.title)).toEqual(["val/a/loss", "val/a/loss (loss of val/a)", "val/a/loss (val/a/loss of no metric)"]);
  expect(charts.map((chart) => chart.parts[0])).toEqual([
    { name: "val", field: "a/loss" },
    { name: "val/a", field: "loss" },
    { name: null, field: "val/a/loss" },
  ]);
});
