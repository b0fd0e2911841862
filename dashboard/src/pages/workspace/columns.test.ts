import { expect, test } from "vitest";

import type { ListedExperiment, MetricFields } from "../../api/types";
import { bestAmong, chosenByThemselves, columnOf, differing, metricColumn, objectiveOf, paramColumn, paramsWithin, valueOf } from "./columns";
import { tableText } from "./csv";

const METRICS: MetricFields[] = [
  { name: "val", fields: ["loss", "a/b"] },
  { name: "val/deep", fields: ["acc"] },
  { name: null, fields: ["loss"] },
];

function run(prefix: string, more: Partial<ListedExperiment> = {}): ListedExperiment {
  const at = "2026-01-01T00:00:00.000000Z";
  return {
    id: prefix, prefix, owner: "alice", project: "vision", folder: "", name: prefix.split("/").at(-1)!, tags: [], bindrs: [],
    metadata: null, status: "COMPLETED", stale: false, createdAt: at, updatedAt: at, startedAt: at, endedAt: at,
    lastActivity: at, host: null, error: null, rows: 1, entries: 1, alerts: 0, attempts: 1, stop: null, deletedAt: null, ...more,
  };
}

test("each column is found again by its name, whatever the names of parameters, metrics and fields are", () => {
  const columns = [
    paramColumn("lr"),
    paramColumn('odd "name", with = and ('),
    metricColumn({ name: "val", field: "a/b" }),
    metricColumn({ name: "val/deep", field: "acc" }, "max"),
    metricColumn({ name: null, field: "loss" }, "min"),
    metricColumn({ name: "with space", field: "loss" }),
  ];
  for (const column of columns) expect(columnOf(column.key, METRICS)).toEqual(column);
  expect(columnOf("status", METRICS)?.kind).toBe("record");
  expect(columnOf("nothing", METRICS)).toBe(null);
});

test("a metric's column has the value that is asked for, and the best as it was defined", () => {
  const summary = { count: 3, nan: 0, first: 1, last: 2, min: 0.5, max: 4, total: 6, mean: 2 } as never;
  const one = run("a", { metrics: { val: { loss: summary } }, best: [{ metric: "val", field: "loss", value: "min" }] });
  const of = (aggregate: "last" | "max" | "best"): unknown => valueOf(metricColumn({ name: "val", field: "loss" }, aggregate), one, 0);
  expect([of("last"), of("max"), of("best")]).toEqual([2, 4, 0.5]);
  expect(bestAmong({ name: "val", field: "loss" }, [run("b"), one])).toBe("min");
  expect(bestAmong({ name: "val", field: "loss" }, [run("b")])).toBe("last");
  expect(valueOf(metricColumn({ name: "val", field: "acc" }), one, 0)).toBe(undefined);
});

test("parameters that differ come first by how much they tell: lists, dicts and those that some runs lack among them", () => {
  const runs = [
    run("a", { params: { lr: 0.1, same: 1, layers: [64], id: "a" } }),
    run("b", { params: { lr: 0.2, same: 1, layers: [64, 64], id: "b" } }),
    run("c", { params: { lr: 0.1, same: 1, layers: [64], id: "c", more: true } }),
  ];
  expect(differing(runs)).toEqual(["layers", "lr", "more", "id"]);
  expect(chosenByThemselves(runs, METRICS).map((column) => column.key)).toEqual([
    "max(val/deep/acc)", "params.layers", "params.lr", "params.more", "params.id", "duration", "started",
  ]);
});

test("the objective is a validation's before a training's, and never the machine's", () => {
  const of = (...titles: string[]): string | undefined =>
    objectiveOf(titles.map((title) => ({ name: title.split("/")[0]!, fields: [title.split("/")[1]!] })))?.key;
  expect(of("train/loss", "val/loss", "val/accuracy")).toBe("max(val/accuracy)");
  expect(of("train/acc", "eval/loss")).toBe("min(eval/loss)");
  expect(of("train/loss")).toBe("min(train/loss)");
  expect(of("system/score", "other/speed")).toBe(undefined);
});

test("the table is saved with every digit, and no text becomes a formula", () => {
  const runs = [run("alice/vision/a", { params: { lr: -1e-7, name: "=1+1", long: 12345678901234567890n }, tags: ["x", "y"] })];
  const columns = ["params.lr", "params.name", "params.long", "tags", "params.none"].map((key) => columnOf(key, [])!);
  expect(tableText(runs, columns, "alice/vision", 0)).toBe(
    "name,params.lr,params.name,params.long,tags,params.none\r\na,-1e-7,'=1+1,12345678901234567890,x y,\r\n",
  );
});

test("a wide table has more of the parameters that differ", () => {
  expect([390, 1280, 1920, 4000].map(paramsWithin)).toEqual([4, 4, 11, 12]);
});
