import { expect, test } from "vitest";

import { above, bounds, changedIn, numberIn, partsOf, PLAIN, type Settings, settingsOf } from "./settings";

const FULL: Settings = {
  x: "train/a:b",
  logX: true,
  logY: false,
  smooth: { kind: "gaussian", amount: 12.5 },
  xRange: [null, 1e9],
  yRange: [-0.5, 3],
  cut: true,
  columns: 2,
  height: 320,
};

test("settings come back from what is written of them, and plain ones are not written", () => {
  expect(settingsOf(partsOf(FULL))).toEqual(FULL);
  expect(partsOf(PLAIN)).toEqual([]);
  expect(settingsOf(partsOf({ ...PLAIN, smooth: { kind: "ema", amount: 0 } })).smooth).toEqual({ kind: "ema", amount: 0 });
});

test("what nobody can mean, or a later page has written, is as all charts have it", () => {
  const odd = ["x:", "smooth:ema:1", "smooth:mean:-1", "smooth:ema:", "smooth:gaussian:Infinity", "xr:5:5", "yr::", "wide:0", "wide:1.5", "high:9", "later:1"];
  expect(settingsOf(odd.filter((part) => part !== "smooth:ema:"))).toEqual(PLAIN);
  expect(settingsOf(["smooth:ema:"]).smooth).toEqual({ kind: "ema", amount: 0 });
});

test("a chart whose settings are put back is not in the address any more", () => {
  const one = changedIn(new Map(), "loss", { logY: true });
  expect([...one]).toEqual([["loss", { ...PLAIN, logY: true }]]);
  expect(changedIn(one, "loss", { logY: null }).size).toBe(0);
  expect(one.size).toBe(1);
});

test("a range has an end at least, and something between; the last x of it is asked for", () => {
  expect(bounds(null, null)).toBe(null);
  expect(bounds(2, 1)).toBe(null);
  expect(bounds(null, 1)).toEqual([null, 1]);
  expect([numberIn(" 1e-3 "), numberIn(""), numberIn("x"), numberIn("Infinity")]).toEqual([0.001, null, null, null]);
  for (const x of [0, 100, -100, 1e300, 2 ** 53]) expect(above(x)).toBeGreaterThan(x);
});
