import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { pathname: "/", search: "" });
vi.stubGlobal("window", { addEventListener: () => undefined });
const { fieldsOf, paramRows, shortNames } = await import("./runs");
type Run = Parameters<typeof paramRows>[0][number];

function run(params: Record<string, unknown>, metrics: Run["metrics"] = []): Run {
  return { record: {} as Run["record"], params, metrics, results: [], attempts: [] };
}

test("parameters that differ, or that a run lacks, are told", () => {
  const rows = paramRows([run({ lr: 0.1, seed: 1, "layer.10": 1 }), run({ lr: 0.2, seed: 1, "layer.9": 2 })]);
  expect(rows.map(({ name, differs }) => [name, differs])).toEqual([
    ["layer.9", true],
    ["layer.10", true],
    ["lr", true],
    ["seed", false],
  ]);
});

test("parameters differ where only a digit, NaN or a null does", () => {
  const differs = (a: unknown, b: unknown): boolean => paramRows([run({ x: a }), run({ x: b })])[0]!.differs;
  expect(differs([9007199254740993n], [9007199254740992])).toBe(true);
  expect(differs([Number.NaN], [null])).toBe(true);
  expect(differs(Number.NaN, Number.NaN)).toBe(false);
});

test("names are as short as they can be told apart", () => {
  expect(shortNames(["a/p/x", "a/p/y"])).toEqual(["x", "y"]);
  expect(shortNames(["a/p/x", "a/q/x"])).toEqual(["p/x", "q/x"]);
  expect(shortNames([])).toEqual([]);
});

test("a field is there once, whichever runs have it", () => {
  const metrics = [{ name: "train", fields: ["loss"] }];
  expect(fieldsOf([run({}, metrics), run({}, metrics), run({}, [{ name: null, fields: ["x"] }])])).toEqual([
    { name: "train", field: "loss", fields: ["loss"] },
    { name: null, field: "x", fields: ["x"] },
  ]);
});
