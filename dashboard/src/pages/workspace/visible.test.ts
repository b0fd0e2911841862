import { expect, test } from "vitest";

import type { ListedExperiment } from "../../api/types";
import { drawnRuns, FIRST, switched } from "./visible";
import type { Shown } from "./view";

const RUNS = Array.from({ length: FIRST + 5 }, (_, at) => ({ id: `id${at}`, prefix: `alice/vision/run-${at}` }) as ListedExperiment);

function drawn(shown: Shown, except: Iterable<string> = [], besides: readonly ListedExperiment[] = []): string[] {
  return drawnRuns(RUNS, besides, { shown, except: new Set(except), folder: "alice/vision" }).map((run) => run.id);
}

test("the first, all or none are drawn, and single runs otherwise", () => {
  expect(drawn("first")).toHaveLength(FIRST);
  expect(drawn("all")).toHaveLength(RUNS.length);
  expect(drawn("none", ["run-3", "run-12"])).toEqual(["id3", "id12"]);
  expect(drawn("first", ["run-3", "run-12"])).not.toContain("id3");
  expect(drawn("first", ["run-3", "run-12"])).toContain("id12");
});

test("runs that are drawn by name are drawn wherever they are in the list", () => {
  const far = { id: "far", prefix: "alice/vision/far" } as ListedExperiment;
  expect(drawn("none", ["far"], [far])).toEqual(["far"]);
  expect(drawn("all", ["far"], [far])).not.toContain("far");
});

test("a range is switched as a whole, and what is as at first is no exception any more", () => {
  const chosen = { shown: "first" as Shown, except: new Set(["run-2"]), folder: "alice/vision" };
  const some = new Set(["id1", "id2", "id13"]);
  expect(switched(RUNS, chosen, some, true)).toEqual(new Set(["run-13"]));
  expect(switched(RUNS, chosen, some, false)).toEqual(new Set(["run-1", "run-2"]));
});
