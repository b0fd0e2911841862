import { afterEach, expect, test, vi } from "vitest";

import { Changes } from "./changes";

function serve(answers: (string | number)[]): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (path: string) => {
    asked.push(path.replace("/api/v1/", ""));
    const answer = answers.shift()!;
    if (typeof answer === "number") return new Response('{"error": {"code": "invalid", "message": "too old"}}', { status: answer });
    return new Response(answer);
  });
  return asked;
}

const page = (asOf: string, ids: string[] = [], cursor: string | null = null): string =>
  JSON.stringify({ data: ids.map((id) => ({ id })), asOf, hasMore: cursor !== null, cursor, total: 9 });
const signal = new AbortController().signal;

afterEach(() => vi.unstubAllGlobals());

test("one question tells what has changed of any number of experiments, and the next one goes on from there", async () => {
  const asked = serve([page("1.1"), page("2.2", ["a"], "more"), page("3.3", ["b"]), page("4.4")]);
  const changes = new Changes();
  expect(await changes.since(signal)).toBeNull();
  expect((await changes.since(signal))!.map((each) => each.id)).toEqual(["a", "b"]);
  expect(await changes.since(signal)).toEqual([]);
  expect(asked[1]).toBe("experiments?limit=1000&changed_since=1.1");
  // what changed while pages were read is told by the next question
  expect(asked[3]).toContain("changed_since=2.2");
});

test("what the server does not know any more may all have changed", async () => {
  serve([page("1.1"), 400, page("5.5"), page("6.6")]);
  const changes = new Changes();
  expect(await changes.since(signal)).toBeNull();
  expect(await changes.since(signal)).toBeNull();
  expect(await changes.since(signal)).toEqual([]);
});

test("what was told and not taken in is told again as if all had changed", async () => {
  serve([page("1.1"), page("2.2", ["a"]), page("3.3")]);
  const changes = new Changes();
  await changes.since(signal);
  await changes.since(signal);
  changes.forget();
  expect(await changes.since(signal)).toBeNull();
});
