import { expect, test } from "vitest";

import { plain, type Span, terminalLines } from "./terminal";

const ESC = "\x1b";

function texts(text: string): string[] {
  return terminalLines(text).map((line) => line.map((span) => span.text).join(""));
}

test.each([
  ["plain\nlines", ["plain", "lines"]],
  ["of Windows\r\nlines", ["of Windows", "lines"]],
  [" 10%|█  |\r 50%|██ |\r100%|███|", ["100%|███|"]],
  [" 10%\r 50%\r", [" 50%"]],
  ["a long one\rshort", ["shortg one"]],
  [`a long one\r${ESC}[Kshort`, ["short"]],
  [`a long one${ESC}[2K\rshort`, ["short"]],
  [`first\nsecond${ESC}[A\r${ESC}[2KFIRST\n`, ["FIRST", "second"]],
  ["epoch 1\n 10%\r100%\nepoch 2", ["epoch 1", "100%", "epoch 2"]],
  ["ab\bc", ["ac"]],
  ["a\tb", ["a\tb"]],
  [`${ESC}[31mred${ESC}[0m and not`, ["red and not"]],
  [`${ESC}]0;a title\x07text`, ["text"]],
  [`${ESC}]8;;https://x.example${ESC}\\link${ESC}]8;;${ESC}\\`, ["link"]],
  [`${ESC}(B${ESC}=${ESC}[?25lx${ESC}[?25h`, ["x"]],
  ["bell\x07 and nul\x00", ["bell and nul"]],
  [`cut off ${ESC}[31`, ["cut off "]],
  [`cut off ${ESC}`, ["cut off "]],
  [`${ESC}[999999999Cx`, [`${" ".repeat(10_000)}x`]],
  [`${ESC}[99B${ESC}[99Ax`, ["x"]],
  ["😀\r🚀", ["🚀"]],
  ["", [""]],
])("%j looks like %j in the end", (given, expected) => {
  expect(texts(given)).toEqual(expected);
});

test("what turns the direction of a text is shown, and turns nothing; scripts that run from the right are left alone", () => {
  expect(plain("safe\u202egpj.exe")).toBe("safe\\u202egpj.exe");
  expect(plain("a\u2066b\u2069")).toBe("a\\u2066b\\u2069");
  expect(plain("שלום \u200fعالم")).toBe("שלום \u200fعالم");
});

test.each<[string, Span["style"]]>([
  ["31", { color: "red" }],
  ["1;92", { color: "green", bold: true }],
  ["2;3;4", { dim: true, italic: true, underline: true }],
  ["31;39", {}],
  ["1;4;0", {}],
  ["", {}],
  ["1;22;4;24", {}],
  ["37", {}],
  ["41", {}],
  ["38;5;9", { color: "red" }],
  ["38;5;208", { color: "red" }],
  ["38;5;240", {}],
  ["38;2;30;200;40", { color: "green" }],
  ["48;2;255;0;0;34", { color: "blue" }],
  ["38;5", {}],
])("the rendition %s is the style %j", (numbers, style) => {
  const [line] = terminalLines(`a${ESC}[${numbers}mb`);
  expect(line!.at(-1)).toEqual({ text: Object.keys(style).length ? "b" : line!.at(-1)!.text, style });
  expect(line!.map((span) => span.text).join("")).toBe("ab");
});

test("colours end with what has them, and are kept where something is overwritten", () => {
  expect(terminalLines(`${ESC}[32mok${ESC}[0m rest\r${ESC}[31mno`)).toEqual([
    [
      { text: "no", style: { color: "red" } },
      { text: " rest", style: {} },
    ],
  ]);
});
