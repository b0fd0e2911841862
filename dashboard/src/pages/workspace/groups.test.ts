import { expect, test } from "vitest";

import type { ListedExperiment } from "../../api/types";
import { columnOf } from "./columns";
import { groupsOf, sampleOf, sharedIn, summaryOf } from "./groups";

const RUNS = [
  { id: "a", prefix: "o/p/x/a", params: { lr: 0.1, opt: "adam", seed: 0 } },
  { id: "b", prefix: "o/p/x/b", params: { lr: 0.1, opt: "adam", seed: 1 } },
  { id: "c", prefix: "o/p/y/c", params: { lr: 0.2, opt: "sgd", seed: 0 } },
  { id: "d", prefix: "o/p/y/d", params: { lr: 0.2, opt: "sgd" } },
] as unknown as ListedExperiment[];

function grouped(...keys: string[]): [string, string][] {
  return groupsOf(RUNS, keys, 0).map(({ label, runs }) => [label, runs.map((run) => run.id).join("")]);
}

test("runs are grouped by one or several parameters, and by all but the seed", () => {
  expect(grouped("params.lr")).toEqual([["lr=0.1", "ab"], ["lr=0.2", "cd"]]);
  expect(grouped("params.seed")).toEqual([["seed=0", "ac"], ["seed=1", "b"], ["seed=–", "d"]]);
  expect(grouped("params.lr", "params.seed")).toHaveLength(4);
  expect(grouped("-params.seed")).toEqual([["lr=0.1 opt=adam", "ab"], ["lr=0.2 opt=sgd", "cd"]]);
  expect(grouped()).toEqual([]);
  const alike = [{ id: "a", prefix: "o/p/a", params: { "opt.lr": 1, "net.lr": 2, depth: 3 } }] as unknown as ListedExperiment[];
  expect(groupsOf(alike, ["params.opt.lr", "params.net.lr", "params.depth"], 0)[0]!.label).toBe("opt.lr=1 net.lr=2 depth=3");
});

test("a group has mean and deviation of what are numbers, and what all have alike", () => {
  const column = (name: string): NonNullable<ReturnType<typeof columnOf>> => columnOf(name, [])!;
  expect(summaryOf(column("params.seed"), RUNS, 0)).toEqual({ mean: expect.closeTo(1 / 3), std: expect.closeTo(Math.sqrt(1 / 3)), count: 3 });
  expect(summaryOf(column("params.lr"), RUNS.slice(0, 1), 0)).toEqual({ mean: 0.1, std: null, count: 1 });
  expect(summaryOf(column("params.opt"), RUNS, 0)).toBe(null);
  const large = [2n ** 60n, 2 ** 59, Number.NaN].map((seed) => ({ ...RUNS[0]!, params: { seed } }));
  expect(summaryOf(column("params.seed"), large, 0)).toMatchObject({ mean: 0.75 * 2 ** 60, count: 2 });
  expect(sharedIn(column("params.opt"), RUNS.slice(0, 2), 0)).toBe("adam");
  expect(sharedIn(column("params.opt"), RUNS, 0)).toBe(undefined);
});

test("the metrics of as many runs of groups are looked at as there is room for, and of all where that is enough", () => {
  const group = (key: string, count: number): Parameters<typeof sampleOf>[0][number] => ({ key, label: key, runs: Array.from({ length: count }, () => RUNS[0]!) });
  expect(sampleOf([group("a", 100), group("b", 30)])).toHaveLength(130);
  const some = sampleOf([group("a", 9000), group("b", 30), group("c", 400)]);
  expect(some).toHaveLength(500);
  expect(sampleOf(Array.from({ length: 500 }, (_, at) => group(String(at), 5)))).toHaveLength(500);
  expect(sampleOf([])).toEqual([]);
});
