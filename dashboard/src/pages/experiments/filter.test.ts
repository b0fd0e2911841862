import { expect, test } from "vitest";

import { holds, parseFilter } from "./filter";

type Found = ReturnType<typeof parseFilter>;

function comparisons(text: string): string[] {
  return parseFilter(text).comparisons.map(({ name, operator, value }) => `${name} ${operator} ${value}`);
}

/** What is told of a text, behind the part of it that is meant. */
function problems(text: string): string[] {
  return parseFilter(text).problems.map(({ start, stop, message }) => `${text.slice(start, stop)} | ${message}`);
}

test("words and comparisons are told apart, with and without spaces", () => {
  const text = "ResNet lr < 0.01 train/loss<=0.5 tag:base status = running big";
  expect(parseFilter(text)).toMatchObject<Partial<Found>>({ words: ["resnet", "big"], problems: [] });
  expect(comparisons(text)).toEqual(["lr < 0.01", "train/loss <= 0.5", "tag = base", "status = running"]);
});

test("quotes of both kinds keep what would end a name or a value", () => {
  expect(comparisons(`"my param" = "a = b"`)).toEqual(["my param = a = b"]);
  expect(comparisons(`opt = 'adam'`)).toEqual(["opt = adam"]);
  expect(comparisons(String.raw`a = 'it\'s'`)).toEqual(["a = it's"]);
  expect(parseFilter(`"two words" don't 'or'`).words).toEqual(["two words", "don't", "or"]);
});

test.each(["a < 1 and b > 2", "a < 1 AND b > 2", "a < 1 && b > 2", "a < 1, b > 2", "a < 1; b > 2", "a < 1 , b > 2", "1 > a b > 2"])(
  "%s are two conditions",
  (text) => {
    expect(parseFilter(text)).toMatchObject<Partial<Found>>({ words: [], problems: [] });
    expect(comparisons(text)).toEqual(["a < 1", "b > 2"]);
  },
);

test("a number may stand first, and between two", () => {
  expect(comparisons("0.01 <= lr")).toEqual(["lr >= 0.01"]);
  expect(comparisons("0.01 < lr < 0.1 x")).toEqual(["lr > 0.01", "lr < 0.1"]);
  expect(comparisons("-inf < lr")).toEqual(["lr > -inf"]);
});

test("times, addresses and signs are values and words", () => {
  expect(comparisons("started > 2026-01-31T10:00:00 a <> -1e-3 b == x!y~z")).toEqual([
    "started > 2026-01-31T10:00:00",
    "a != -1e-3",
    "b = x!y~z",
  ]);
  expect(parseFilter("wow! ~/runs a-b").words).toEqual(["wow!", "~/runs", "a-b"]);
});

test.each([
  ["lr <", "lr < | ‘<’ needs a value"],
  ["< 5", "< 5 | ‘<’ needs a name"],
  ["= Infinity", "= Infinity | ‘=’ needs a name"],
  ["lr > 0.01 < 0.1", "< 0.1 | ‘<’ needs a name"],
  ["lr =< 5", "=< | ‘=<’ is unknown"],
  ["lr => 5", "=> | ‘=>’ is unknown"],
  ["name =~ res.*", "=~ | ‘=~’ is unknown"],
  ["name ~= res", "~= | ‘~=’ is unknown"],
  ["name ~ res", "~ | ‘~’ is unknown"],
  ["a < 1 or b", "or | there is no ‘or’"],
  ["a < 1 || b", "|| | there is no ‘||’"],
  ["not failed", "not | there is no ‘not’"],
  ["name = 'res", "'res | this quote"],
  ['"res', '"res | this quote'],
])("of %s it is told what is not understood, and where", (text, told) => {
  expect(problems(text)[0]).toContain(told);
  // no part of what is not understood is looked for, and so hides all
  const { words } = parseFilter(text);
  expect(words.filter((word) => !["b", "failed"].includes(word))).toEqual([]);
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
  ["1152921504606846977", "=", "1152921504606846976", false],
  [1152921504606846977n, "=", "1152921504606846977", true],
  [1152921504606846977n, "=", "1152921504606846976", false],
  [1152921504606846977n, ">", "1e18", true],
  [Number.POSITIVE_INFINITY, "=", "Infinity", true],
  [Number.NEGATIVE_INFINITY, "<", "-inf", false],
  [1, "<", "inf", true],
] as const)("%s %s %s is %s", (value, operator, wanted, expected) => {
  expect(holds(value, { operator, value: wanted })).toBe(expected);
});
