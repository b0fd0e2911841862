import { expect, test } from "vitest";

import { LINES_MAX } from "./attempts";
import { choiceOf, linesOfRanks, optionsOf, together } from "./ranks";

const line = { key: "train loss", label: "loss", experimentId: "exp_1", name: "train", field: "loss", color: "red" };

test("ranks of several metrics are each told once, without processes that have none", () => {
  expect(together([[null, 1, 10], [2, 1], []])).toEqual([1, 2, 10]);
  expect(together([[null]])).toEqual([]);
});

test("an address chooses what there is", () => {
  expect(choiceOf(null, [0, 1])).toBe("all");
  expect(choiceOf("each", [0, 1])).toBe("each");
  expect(choiceOf("1", [0, 1])).toBe(1);
  for (const said of ["2", "-1", "1.0", "one", "", " 1"]) expect(choiceOf(said, [0, 1])).toBe("all");
  expect(choiceOf("each", [0])).toBe("all");
});

test("one rank alone has each line's own rows of it", () => {
  const attempts = [line, { ...line, key: "second", attempt: 2 }];
  expect(linesOfRanks(attempts, 3, [0, 3]).map(({ key, rank, label, attempt }) => [key, rank, label, attempt])).toEqual([
    ["train loss of 3", 3, "loss", undefined],
    ["second of 3", 3, "loss", 2],
  ]);
  expect(linesOfRanks(attempts, "all", [0, 3])).toEqual(attempts);
});

test("each rank has a line, of the newest attempt, with a colour of its own", () => {
  const found = linesOfRanks([line, { ...line, key: "second", attempt: 2 }], "each", [0, 1]);
  expect(found.map(({ label, rank, attempt }) => [label, rank, attempt])).toEqual([
    ["attempt 2, rank 0", 0, 2],
    ["attempt 2, rank 1", 1, 2],
  ]);
  expect(new Set(found.map(({ color }) => color)).size).toBe(2);
  expect(linesOfRanks([line], "each", [0, 1]).map(({ label }) => label)).toEqual(["rank 0", "rank 1"]);
});

test("of many ranks the first are drawn, and the switch says so", () => {
  const ranks = Array.from({ length: 30 }, (_, rank) => rank);
  expect(linesOfRanks([line], "each", ranks).length).toBe(LINES_MAX);
  expect(optionsOf(ranks)[1]).toEqual(["each", `each of the first ${LINES_MAX}`]);
  expect(optionsOf([0, 1])[1]).toEqual(["each", "each"]);
});
