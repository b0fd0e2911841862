import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { pathname: "/", search: "" });
vi.stubGlobal("window", { addEventListener: () => undefined });
const { chartView, setRange, shortened } = await import("./ChartControls");

test.each([
  [1e12 + 0.25, 1e12 + 0.5],
  [1.8e18, 1.8e18 + 1024],
  [1_790_000_000.123, 1_790_000_000.124],
  [1, 1 + 4 * Number.EPSILON],
  [-3e-30, 2e-30],
])("the range from %d to %d is in the address what it is in the chart", (low, high) => {
  const [from, to] = shortened([low, high]).map(Number) as [number, number];
  const most = (high - low) / 100_000;
  expect(Math.abs(from - low)).toBeLessThanOrEqual(most);
  expect(Math.abs(to - high)).toBeLessThanOrEqual(most);
});

test("a range that has no inside is none, and does not show all again", () => {
  const replaceState = vi.fn();
  vi.stubGlobal("history", { replaceState });
  setRange([1, 1 + Number.EPSILON / 4], "step", "step");
  expect(replaceState).not.toHaveBeenCalled();
  setRange([1, 1 + Number.EPSILON], "step", "step");
  expect(replaceState).toHaveBeenCalledWith(null, "", "/?from=1&to=1.0000000000000002");
});

test("a range has no more digits in the address than there are pixels", () => {
  expect(shortened([1 / 3, 2000 / 3])).toEqual(["0.3333333", "666.6667"]);
});

test("each axis has a range of its own: a chart without the chosen x empties no other", () => {
  const replaceState = (_: unknown, __: string, to: string): void => {
    vi.stubGlobal("location", { pathname: "/", search: to.slice(1) });
  };
  vi.stubGlobal("history", { replaceState });
  setRange([1, 2], "step", "step");
  setRange([5, 9], "index", "step");
  expect([...chartView("step").ranges]).toEqual([
    ["step", [1, 2]],
    ["index", [5, 9]],
  ]);
  setRange(null, "index", "step");
  expect([...chartView("step").ranges]).toEqual([["step", [1, 2]]]);
});
