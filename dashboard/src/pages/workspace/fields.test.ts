import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { ListedExperiment } from "../../api/types";
import { fields, loadFields, unlistedIn } from "./fields";

const run = (rows: number): ListedExperiment => ({ id: "a", rows }) as ListedExperiment;
const signal = new AbortController().signal;

/** A server that knows of these metrics, one answer after the other; returns how often it was asked. */
function serve(...answers: string[][]): { asked: number } {
  const told = { asked: 0 };
  vi.stubGlobal("fetch", async () => {
    const names = answers[Math.min(told.asked, answers.length - 1)]!;
    told.asked += 1;
    return Response.json({ data: [{ id: "a", metrics: names.map((name) => ({ name, fields: ["loss"] })) }], rest: [] });
  });
  return told;
}

const names = (): (string | null)[] => fields.value.get("a")!.metrics.map(({ name }) => name);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  fields.value = new Map();
});

test("a run that was still to be read is asked again as soon as it was", async () => {
  serve([], ["train"]);
  await loadFields([run(0)], signal);
  expect(names()).toEqual([]);
  await loadFields([run(30)], signal);
  expect(names()).toEqual(["train"]);
});

test("what a run came to have just after it was asked is found, though it logs nothing more", async () => {
  const told = serve(["train"], ["train", "val"]);
  await loadFields([run(1)], signal);
  const again = loadFields([run(2)], signal);
  await vi.advanceTimersByTimeAsync(9000);
  expect(told.asked).toBe(1);
  await vi.advanceTimersByTimeAsync(2000);
  await again;
  expect(names()).toEqual(["train", "val"]);
  await loadFields([run(2)], signal);
  expect(told.asked).toBe(2);
});

test("nobody waits for a page that is left", async () => {
  serve(["train"]);
  await loadFields([run(1)], signal);
  const left = new AbortController();
  const waiting = loadFields([run(2)], left.signal);
  left.abort();
  await expect(waiting).rejects.toThrow();
});

test("of a run with more metrics than are told it is known that there are more", async () => {
  vi.stubGlobal("fetch", async () => Response.json({ data: [{ id: "a", metrics: [{ name: "train", fields: ["loss"] }], metricsTotal: 3 }], rest: [] }));
  await loadFields([run(1)], signal);
  expect(unlistedIn([run(1)], fields.value)).toEqual({ run: run(1), listed: 1, total: 3 });
  expect(unlistedIn([{ id: "other" }], fields.value)).toBeNull();
});
