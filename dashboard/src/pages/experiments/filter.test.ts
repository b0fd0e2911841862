import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { globMatcher, holds, type Operator, parseFilter } from "./filter";

/** The same as the tests of Python's parser have. */
interface Cases {
  parsed: { text: string; words?: string[]; globs?: string[]; comparisons?: string[][]; problems?: string[] }[];
  holds: [unknown, Operator, string, boolean, "*"?][];
  globs: [string, string, boolean][];
}

const PATH = "../../../../tests/query/listing/filter_cases.json";
const CASES = JSON.parse(readFileSync(new URL(PATH, import.meta.url), "utf8")) as Cases;

function taken(text: string): Required<Cases["parsed"][number]> {
  const { words, globs, comparisons, problems } = parseFilter(text);
  return {
    text,
    words,
    globs,
    comparisons: comparisons.map(({ name, operator, value, aggregate, isPattern }) => [
      aggregate ? `${aggregate}(${name})` : name,
      operator,
      value,
      ...(isPattern ? ["*"] : []),
    ]),
    problems: problems.map(({ start, stop, message }) => `${text.slice(start, stop)} | ${message}`),
  };
}

test.each(CASES.parsed.map((each) => [each.text, each] as const))("%s is taken apart", (text, expected) => {
  expect(taken(text)).toEqual({ words: [], globs: [], comparisons: [], problems: [], ...expected });
});

test.each(CASES.holds)("%j %s %s is %s", (value, operator, wanted, expected, pattern) => {
  const known = value === "NaN" ? Number.NaN : value;
  expect(holds(known, { operator, value: wanted, isPattern: pattern === "*" })).toBe(expected);
});

test.each(CASES.globs)("the pattern %s means the prefix %s: %s", (pattern, prefix, expected) => {
  expect(globMatcher(pattern)(prefix)).toBe(expected);
});

test.each([
  [1152921504606846977n, "=", "1152921504606846977", true],
  [1152921504606846977n, "=", "1152921504606846976", false],
  [1152921504606846977n, ">", "1e18", true],
  [undefined, "!=", "1", true],
] as const)("%s %s %s is %s: each digit of a whole number counts", (value, operator, wanted, expected) => {
  expect(holds(value, { operator, value: wanted, isPattern: false })).toBe(expected);
});
