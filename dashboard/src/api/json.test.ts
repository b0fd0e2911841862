import { expect, test } from "vitest";

import { decode, encode, indented, parsePython } from "./json";

const GOOGOL = `1${"0".repeat(100)}`;

test("what JSON lacks is told by an object, and becomes the number that it is", () => {
  expect(decode('{"a": {"__float__": "NaN"}, "b": [{"__float__": "-Infinity"}, 1]}')).toEqual({
    a: Number.NaN,
    b: [Number.NEGATIVE_INFINITY, 1],
  });
});

test("an integer that no double holds keeps its digits, and all others are numbers", () => {
  const text = `{"a": 1152921504606846977, "b": 12345678, "c": 0.12345678901234567, "d": -2e300, "e": [-9007199254740993, 9007199254740991],
    "f": ${GOOGOL}, "g": 1234567890123456789.5, "h": 1234567890123456789e3}`;
  expect(decode(text)).toEqual({
    a: 1152921504606846977n,
    b: 12345678,
    c: 0.12345678901234567,
    d: -2e300,
    e: [-9007199254740993n, 9007199254740991],
    f: BigInt(GOOGOL),
    g: 1234567890123456789.5,
    h: 1234567890123456789e3,
  });
  expect(decode("1152921504606846977")).toBe(1152921504606846977n);
  expect(decode(String.raw`{"a": "1152921504606846977, ", "\" 1152921504606846977": 1}`)).toEqual({
    a: "1152921504606846977, ",
    '" 1152921504606846977': 1,
  });
  expect(decode('{"a": 1152921504606846977}', false)).toEqual({ a: 1152921504606847000 });
});

test("a value is written as it is, and read again is the same", () => {
  const value = { a: [Number.NaN, Infinity, -Infinity, -0, 9007199254740993n, null, true, "x\n"], "b.c": {}, d: [] };
  expect(encode(value)).toBe('{"a":[NaN,Infinity,-Infinity,-0,9007199254740993,null,true,"x\\n"],"b.c":{},"d":[]}');
  expect(encode({ a: [1, { b: 2n }], c: {} }, 2)).toBe('{\n  "a": [\n    1,\n    {\n      "b": 2\n    }\n  ],\n  "c": {}\n}');
  const plain = { a: [1, "x", { b: null }], c: false };
  expect([encode(plain), encode(plain, 2)]).toEqual([JSON.stringify(plain), JSON.stringify(plain, null, 2)]);
  expect(encode(undefined)).toBe("null");
});

test("JSON is indented without a change to what is in it", () => {
  const given = '{"big":9007199254740993,"far":1e400,"a":1,"a":2,"f":1.10,"n":[NaN,-Infinity,-0.0],"s":"{\\"x\\": 1, }","e":{},"l":[ ]}';
  const shown = indented(given);
  expect(shown).toBe(`{
  "big": 9007199254740993,
  "far": 1e400,
  "a": 1,
  "a": 2,
  "f": 1.10,
  "n": [
    NaN,
    -Infinity,
    -0.0
  ],
  "s": "{\\"x\\": 1, }",
  "e": {},
  "l": []
}`);
  expect(indented(shown)).toBe(shown);
  const usual = { a: [1, { b: "c:d" }], e: [[]] };
  expect(indented(JSON.stringify(usual))).toBe(JSON.stringify(usual, null, 2));
});

test.each(["", "{", '{"a": [}', '{"a": "b', '{"a": 1} {"a": 2}', '{"a": 1}\n{"a": 2}', "plain words", "]"])(
  "%j is no JSON, and is left as it is",
  (text) => {
    expect(indented(text)).toBe(text);
  },
);

test("NaN and infinities of Python's JSON are texts, and a text that speaks of them stays what it is", () => {
  const cells = ["loss: NaN, step 3", '[NaN, "Infinity"]', "\\ NaN ", 0.5];
  const written = `{"rows": [[NaN, -Infinity,Infinity], ${JSON.stringify(cells)}]}`;
  expect(parsePython(written)).toEqual({ rows: [["NaN", "-Infinity", "Infinity"], cells] });
});

test("integers that no double holds are found wherever they stand, beside fractions with as many digits", () => {
  const text = '[0.30000000000000004,12345678901234567,-12345678901234567,{"a":98765432109876543},1.2345678901234567e+20,1234567890123456.5]';
  expect(decode(text)).toEqual([0.30000000000000004, 12345678901234567n, -12345678901234567n, { a: 98765432109876543n }, 1.2345678901234567e20, 1234567890123456.5]);
  expect(decode("12345678901234567")).toBe(12345678901234567n);
  expect(decode("[0.30000000000000004]")).toEqual([0.30000000000000004]);
});
