import { expect, test } from "vitest";

import { holds, parseFilter } from "./filter";

test("words and comparisons are told apart, with and without spaces", () => {
  expect(parseFilter("ResNet lr < 0.01 train/loss<=0.5 tag:base status = running big")).toEqual({
    words: ["resnet", "big"],
    comparisons: [
      { name: "lr", operator: "<", value: "0.01" },
      { name: "train/loss", operator: "<=", value: "0.5" },
      { name: "tag", operator: "=", value: "base" },
      { name: "status", operator: "=", value: "running" },
    ],
  });
});

test("quotes keep what would end a name or a value", () => {
  expect(parseFilter('"my param" = "a = b"').comparisons).toEqual([{ name: "my param", operator: "=", value: "a = b" }]);
});

test("what is not finished yet is a word", () => {
  expect(parseFilter("lr <")).toEqual({ words: ["lr", "<"], comparisons: [] });
});

test.each([
  [0.001, "<", "0.01", true],
  ["0.001", "<", "0.01", true],
  [10, ">", "9", true],
  ["adam", "=", "Adam", true],
  ["adam", "!=", "sgd", true],
  [null, "=", "1", false],
  [undefined, "!=", "1", true],
  [true, "=", "true", true],
  [["a", "B"], "=", "b", true],
  [["a"], "!=", "a", false],
  [Number.NaN, "<", "1", false],
  [Number.NaN, ">", "0.999", false],
  [Number.NaN, "!=", "1", true],
  [Number.NaN, "=", "nan", true],
  ["adam", ">", "5", false],
  ["adam", "<", "5", false],
  ["adam", "!=", "5", true],
  ["adam", "<", "sgd", true],
  [true, ">", "0", false],
  ["1152921504606846977", ">", "5", true],
] as const)("%s %s %s is %s", (value, operator, wanted, expected) => {
  expect(holds(value, { name: "x", operator, value: wanted })).toBe(expected);
});
