import { afterEach, expect, test, vi } from "vitest";

import { discard, note, stop, tag } from "./bulk";

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

test("a note on many runs is put behind what each has, over nothing that somebody writes meanwhile, and taken back", async () => {
  const notes: Record<string, string | null> = { a: null, b: "what b was", c: "what c was" };
  vi.stubGlobal("fetch", async (url: string, { method, body }: RequestInit) => {
    const id = url.split("/")[4]!;
    if (method === "PUT") {
      const given = JSON.parse(String(body)) as { note: string; before: string };
      if (id === "c") notes.c = "somebody else's";
      if ((notes[id] ?? "") !== given.before) return new Response('{"error": {"code": "changed", "message": ""}}', { status: 412 });
      notes[id] = given.note;
    }
    return new Response(JSON.stringify({ id, note: notes[id] }));
  });
  const done = await note(RUNS, "a leak in the data");
  expect(notes).toEqual({ a: "a leak in the data", b: "what b was\n\na leak in the data", c: "somebody else's" });
  expect(done.text).toBe("2 runs annotated. Not 1 run: o/p/c: somebody has changed this meanwhile");
  expect((await done.undo!()).text).toBe("2 runs have their notes as before.");
  expect(notes).toEqual({ a: "", b: "what b was", c: "somebody else's" });
});
