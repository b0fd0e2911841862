import { afterEach, expect, test, vi } from "vitest";

import { ChangedMeanwhile, problemOfName, problemOfTag, stopText, toTrash, writeText } from "./changes";

interface Asked {
  method: string;
  path: string;
  body: unknown;
}

/** A server that has one experiment, and keeps what is written. */
function serve(note: string | null): { asked: Asked[]; record: { id: string; note: string | null } } {
  const asked: Asked[] = [];
  const record = { id: "exp_1", note };
  vi.stubGlobal("fetch", async (path: string, { method, body }: RequestInit) => {
    const given = body === undefined ? null : (JSON.parse(body as string) as { note: string; before: string });
    asked.push({ method: method!, path, body: given });
    if (method === "PUT") {
      if ((record.note ?? "") !== given!.before && record.note !== given!.note) {
        return new Response(JSON.stringify({ error: { code: "changed", message: "it was changed meanwhile" } }), { status: 412 });
      }
      record.note = given!.note;
    }
    return new Response(JSON.stringify(record));
  });
  return { asked, record };
}

afterEach(() => vi.unstubAllGlobals());

test("a note that somebody has changed meanwhile is not written over", async () => {
  const { asked, record } = serve("theirs");
  const attempt = writeText(record, "note", "mine", "what I saw");
  await expect(attempt).rejects.toThrow(ChangedMeanwhile);
  await expect(attempt).rejects.toMatchObject({ record: { note: "theirs" } });
  expect(record.note).toBe("theirs");
  await writeText(record, "note", "both", "theirs");
  expect(record.note).toBe("both");
  expect(asked.at(-1)).toEqual({ method: "PUT", path: "/api/v1/experiments/exp_1/note", body: { note: "both", before: "theirs" } });
});

test("a first note has nothing before it, and the same one once more is no conflict", async () => {
  const { record } = serve(null);
  await writeText(record, "note", "first", "");
  await writeText(record, "note", "first", "");
  expect(record.note).toBe("first");
});

test("what runs goes into the trash only on purpose", async () => {
  const { asked, record } = serve(null);
  await toTrash(record);
  await toTrash(record, true);
  expect(asked.map((each) => each.path)).toEqual([
    "/api/v1/experiments/exp_1?unless_running=true",
    "/api/v1/experiments/exp_1",
  ]);
});

test("a name that cannot be is told before it is sent", () => {
  expect(problemOfName("alice/p/n", "alice")).toBeNull();
  expect(problemOfName("alice/p/a b/ü", "alice")).toBeNull();
  for (const name of ["", "alice", "alice/p", "alice//n", "alice/p/", "alice/../n", "bob/p/n"]) {
    expect(problemOfName(name, "alice"), name).not.toBeNull();
  }
  expect(problemOfTag("a", ["b"])).toBeNull();
  for (const tag of ["b", "ü".repeat(600)]) expect(problemOfTag(tag, ["b"])).not.toBeNull();
});

test("what has come of a request to stop is said by what the run has seen", () => {
  const stop = { at: "2026-05-04T10:00:00Z", by: "ann", reason: "NaN", seenAt: null };
  const seen = { ...stop, by: null, reason: null, seenAt: "2026-05-04T10:00:05Z" };
  expect(stopText({ stop: null, status: "RUNNING" })).toBeNull();
  expect(stopText({ stop, status: "RUNNING" })).toEqual({ asked: "Asked to stop by ann: NaN", now: "it has not seen that yet, and goes on" });
  expect(stopText({ stop: seen, status: "RUNNING" })).toEqual({ asked: "Asked to stop", now: "stopping" });
  expect(stopText({ stop: seen, status: "CANCELLED" })?.now).toBe("it has seen that, and ended");
  expect(stopText({ stop, status: "COMPLETED" })?.now).toBe("it has ended without a look");
});
