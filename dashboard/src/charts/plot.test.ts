import { expect, test } from "vitest";

import { plotData, unitOfX } from "./plot";
import { type Drawn, drawn, NOTHING } from "./series";

const LARGEST = Number.MAX_VALUE;

function line(x: number[], y: number[]): Drawn {
  const [zeros, ones] = [x.map(() => 0), x.map(() => 1)];
  const columns = { x, y, min: y, max: y, count: ones, nan: zeros, posInf: zeros, negInf: zeros };
  return drawn({ ...NOTHING, points: x.length, columns }, false);
}

test("what is drawn of the largest numbers has differences that are numbers", () => {
  const lines = [line([-LARGEST, 0, LARGEST], [-LARGEST, 1, LARGEST])];
  const [x, , , raw] = plotData(lines, false, unitOfX(lines)) as number[][];
  for (const column of [x!, raw!]) {
    expect(Number.isFinite(2 * (column[2]! - column[0]!))).toBe(true);
    expect(column[2]! / column[0]!).toBe(-1);
  }
});

test("x that is tiny is drawn as large as uPlot can show it, and all other x as it is", () => {
  for (const x of [[0, 1e-30], [1e-20, 2e-20], [5e-324, 1e-323], [1e-40]]) {
    const unit = unitOfX([line(x, x)]);
    expect(unit * 1e-301).toBeGreaterThan(0);
    expect(Number.isFinite(unit)).toBe(true);
    expect(unit).toBeGreaterThan(1e9);
  }
  for (const x of [[0], [5], [100], [0, 1], [1e-9, 1e-6], [1e12, 1e12 + 1], [1.8e18, 1.8e18 + 256], [1, 1 + Number.EPSILON], [1e150, 2e150], []]) {
    expect([x, unitOfX([line(x, x)])]).toEqual([x, 1]);
  }
});
