import { expect, test } from "vitest";

import type { File as FileRow } from "../../api/types";
import { boxesOf, histogramOf, itemAt, mediaSeries, stepsOf, tableOf } from "./media";

function file(metric: string | null, field: unknown, step: unknown, filename = "00000003-ab.png", at = "2026-01-01"): FileRow {
  return { id: filename, filename, uploadedAt: at, metadata: { metric, field, step } } as unknown as FileRow;
}

test("files are put together by metric and field, in order of step", () => {
  const series = mediaSeries([
    file("val", "b", 20),
    file("val", "b", 3),
    file(null, "a", null),
    file("val", 3, 1),
    { metadata: null } as unknown as FileRow,
  ]);
  expect(series.map(({ title, items }) => [title, items.map(({ step }) => step)])).toEqual([
    ["a", [3]],
    ["val/b", [3, 20]],
  ]);
  expect(stepsOf(series)).toEqual([3, 20]);
});

test("of one step the latest counts, and before the first the first is shown", () => {
  const [series] = mediaSeries([
    file("v", "x", 5, "00000000-new.png", "2026-01-02"),
    file("v", "x", 5, "00000000-old.png", "2026-01-01"),
    file("v", "x", 9, "00000001-z.png"),
  ]);
  expect(itemAt(series!, 7).row.filename).toBe("00000000-new.png");
  expect(itemAt(series!, 0).row.filename).toBe("00000000-old.png");
  expect(itemAt(series!, 100).row.filename).toBe("00000001-z.png");
});

test("contents that are not what they should be are nothing", () => {
  expect(histogramOf({ counts: [1], edges: [0, 1], odd: 2 })).toEqual({ counts: [1], edges: [0, 1], odd: 2 });
  expect(histogramOf({ counts: [], edges: [] })).toEqual({ counts: [], edges: [], odd: 0 });
  for (const wrong of [null, {}, { counts: [1], edges: [0] }, { counts: ["a"], edges: [0, 1] }]) {
    expect(histogramOf(wrong)).toBeNull();
  }
  expect(tableOf({ columns: ["a", 1], rows: [[1, null]] })).toEqual({ columns: ["a", "1"], rows: [[1, null]] });
  for (const wrong of [null, { columns: 3, rows: [] }, { columns: [], rows: [3] }]) expect(tableOf(wrong)).toBeNull();
  expect(boxesOf([{ box: [0, 1, 2, 3], label: "cat", score: 0.987 }, { box: [1] }, null])).toEqual([
    { box: [0, 1, 2, 3], label: "cat 0.99" },
  ]);
  expect(boxesOf(3)).toEqual([]);
});
