import { expect, test } from "vitest";

import type { ListedExperiment } from "../../api/types";
import { choiceOf, isWithout, known, lackingOf, optionsOf, ranksIn } from "./ranks";

function run(id: string, rows = 1): ListedExperiment {
  return { id, rows } as ListedExperiment;
}

const NOW = 1e12;

test("an address says the mean, or a rank; anything else is all rows", () => {
  expect(["mean", "0", "17", "all", "each", "-1", "1.5", "", "9999999", null].map(choiceOf)).toEqual([
    "mean", 0, 17, null, null, null, null, null, null, null,
  ]);
});

test("ranks of any drawn run can be chosen, and what the address says though none has it", () => {
  known.value = new Map([
    ["a", { ranks: [10, 2], rows: 1, at: NOW }],
    ["b", { ranks: [0, 2], rows: 1, at: NOW }],
    ["hidden", { ranks: [7], rows: 1, at: NOW }],
  ]);
  const ranks = ranksIn([run("a"), run("b"), run("unknown")]);
  expect(ranks).toEqual([0, 2, 10]);
  expect(optionsOf(ranks, 2).map(([value]) => value)).toEqual(["all", "mean", "0", "2", "10"]);
  expect(optionsOf([], 3).map(([value]) => value)).toEqual(["all", "mean", "3"]);
});

test("a run whose processes have no ranks has no line of a rank, one that is not known yet may have", () => {
  const none = { ranks: [], rows: 1, at: NOW };
  expect([isWithout(0, none), isWithout(0, undefined), isWithout("mean", none), isWithout(null, none)]).toEqual([true, false, false, false]);
});

test("few runs are asked, by metrics of their own, and again when they have gone on for a while with less than two ranks", () => {
  const metrics = ["system/gpu", "train", null, "val"].map((name) => ({ name, fields: [] }));
  const fields = new Map([..."abcdefgh"].map((id) => [id, { metrics }]));
  const runs = [...fields.keys()].map((id) => run(id));
  const asked = lackingOf(runs, fields, new Map(), NOW);
  expect(asked.map((each) => each.run.id)).toEqual([..."abcdef"]);
  expect(asked[0]!.names).toEqual(["train", null]);
  expect(lackingOf([run("unknown")], fields, new Map(), NOW)).toEqual([]);

  const one = new Map([["a", { ranks: [0], rows: 1, at: NOW }]]);
  const isAsked = (rows: number, later: number): boolean => lackingOf([run("a", rows)], fields, one, NOW + later).length > 0;
  expect([isAsked(1, 90_000), isAsked(2, 1000), isAsked(2, 90_000)]).toEqual([false, false, true]);
  const two = new Map([["a", { ranks: [0, 1], rows: 1, at: NOW }]]);
  expect(lackingOf([run("a", 2)], fields, two, NOW + 90_000)).toEqual([]);
});
