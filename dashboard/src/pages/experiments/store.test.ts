import { expect, test } from "vitest";

import type { Experiment } from "../../api/types";
import { merged, unread } from "./store";

function record(id: string, change: Partial<Experiment> = {}): Experiment {
  return { id, prefix: `a/b/${id}`, rows: 1, deletedAt: null, ...change } as Experiment;
}

const known = new Map([record("1"), record("2")].map((each) => [each.id, each]));

test("changes are put in, new ones added, deleted ones taken out", () => {
  const next = merged(known, [record("1", { rows: 5 }), record("2", { deletedAt: "2026-01-01" }), record("3")]);
  expect([...next.values()].map((each) => [each.id, each.rows])).toEqual([
    ["1", 5],
    ["3", 1],
  ]);
});

test("where nothing differs nothing is drawn again", () => {
  expect(merged(known, [record("1"), record("9", { deletedAt: "2026-01-01" })])).toBe(known);
});

test("an experiment is unread until every value that is asked for has come, be it none", () => {
  const wanted = [{ key: "m:train/loss", metric: { name: "train", field: "loss" } }];
  const values = new Map([
    ["1", { values: new Map([["m:train/loss", undefined]]) }],
    ["2", { values: new Map<string, unknown>() }],
  ]);
  expect(unread(["1", "2", "3"], wanted, values)).toBe(2);
  expect(unread(["1", "2", "3"], [], values)).toBe(1);
});
