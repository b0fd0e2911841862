import { afterEach, expect, test, vi } from "vitest";

import { discard, stop, tag } from "./bulk";

const RUNS = [
  { id: "a", prefix: "o/p/a", tags: ["old", "both"] },
  { id: "b", prefix: "o/p/b", tags: ["both"] },
  { id: "c", prefix: "o/p/c", tags: [] },
];

afterEach(() => vi.unstubAllGlobals());

/** What was asked for, of a server that refuses what is asked of one run. */
function answering(refused: string): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (url: string, { method, body }: RequestInit) => {
    asked.push(`${method} ${url.replace("/api/v1/experiments/", "")} ${String(body ?? "")}`.trim());
    const isRefused = url.includes(`/${refused}`);
    const text = isRefused ? '{"error": {"code": "running", "message": "a run of it goes on"}}' : "{}";
    return Promise.resolve(new Response(text, { status: isRefused ? 409 : 200 }));
  });
  return asked;
}

test("one that cannot be deleted stops no other, is told, and is not restored", async () => {
  const asked = answering("b");
  const done = await discard(RUNS);
  expect(done.text).toBe("2 runs in the trash. Not 1 run: o/p/b: a run of it goes on");
  expect(asked).toHaveLength(3);
  const back = await done.undo!();
  expect(asked.slice(3)).toEqual(['POST a/restore {"to":null}', 'POST c/restore {"to":null}']);
  expect(back).toEqual({ text: "2 runs are back.", undo: null });
});

test("runs that are asked to stop are asked no more, but for those that were not", async () => {
  const asked = answering("b");
  const done = await stop(RUNS);
  expect(done.text).toBe("2 runs asked to stop. Not 1 run: o/p/b: a run of it goes on");
  const back = await done.undo!();
  expect(asked.slice(3)).toEqual(['POST a/stop {"cancel":true}', 'POST c/stop {"cancel":true}']);
  expect(back.undo).toBeNull();
});

test("taking back tags leaves each run what it had before", async () => {
  const asked = answering("none");
  const done = await tag(RUNS, ["both"], ["old"], "tagged");
  await done.undo!();
  expect(asked.slice(3)).toEqual([
    'POST a/tags {"add":["old"],"remove":[]}',
    'POST b/tags {"add":[],"remove":[]}',
    'POST c/tags {"add":[],"remove":["both"]}',
  ]);
});
