import { expect, test } from "vitest";

import { eachPrefixed, fitting, logTicks, prefixed, ticks } from "./ticks";

const written = (low: number, high: number, most = 6): string[] => prefixed(ticks(low, high, most)).map((tick) => tick.text);

test.each([
  [0, 10_000, ["0", "2k", "4k", "6k", "8k", "10k"]],
  [0, 60_000, ["0", "10k", "20k", "30k", "40k", "50k", "60k"]],
  [-4_000_000, 4_000_000, ["-4M", "-2M", "0", "2M", "4M"]],
  [0, 5.2e9, ["0", "1G", "2G", "3G", "4G", "5G"]],
  [400_000, 450_000, ["400k", "410k", "420k", "430k", "440k", "450k"]],
])("ticks from %d to %d have one prefix for all of them", (low, high, texts) => {
  expect(written(low, high)).toEqual(texts);
});

test.each([
  ["years, which would need three decimals", 2020, 2026],
  ["hundreds", 0, 900],
  ["parts", 0, 0.001],
  ["what would be as long", 10_000, 10_400],
])("%s are left as they are", (_, low, high) => {
  expect(written(low, high)).toEqual(ticks(low, high, 6).map((tick) => tick.text));
});

test("on a logarithmic axis each has a prefix of its own, and values stay what they were", () => {
  const made = logTicks(10, 1e7, 8);
  expect(eachPrefixed(made).map((tick) => tick.text)).toEqual(["10", "100", "1k", "10k", "100k", "1M", "10M"]);
  expect(eachPrefixed(made).map((tick) => tick.value)).toEqual(made.map((tick) => tick.value));
});

test("what is shorter leaves room for more of them", () => {
  expect(fitting(0, 10_000, 6, 30, prefixed).length).toBeGreaterThan(fitting(0, 10_000, 6, 30).length);
});
