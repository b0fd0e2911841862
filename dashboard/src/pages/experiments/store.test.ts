import { expect, test, vi } from "vitest";

import type { ListedExperiment } from "../../api/types";
import { askValues, filtered, loadFiltered, loadMatches, matches, matchKey, merged, records, refresh, unread } from "./store";

function record(id: string, change: Partial<ListedExperiment> = {}): ListedExperiment {
  return { id, prefix: `a/b/${id}`, rows: 1, deletedAt: null, ...change } as ListedExperiment;
}

const known = new Map([record("1"), record("2")].map((each) => [each.id, each]));

test("changes are put in, new ones added, deleted ones taken out", () => {
  const next = merged(known, [record("1", { rows: 5 }), record("2", { deletedAt: "2026-01-01" }), record("3")]);
  expect([...next.values()].map((each) => [each.id, each.rows])).toEqual([
    ["1", 5],
    ["3", 1],
  ]);
});

test("where nothing differs nothing is drawn again", () => {
  expect(merged(known, [record("1"), record("9", { deletedAt: "2026-01-01" })])).toBe(known);
});

test("an experiment is unread until every value that is asked for has come, be it none", () => {
  const wanted = [{ key: "m:train/loss", metric: { name: "train", field: "loss" } }];
  const values = new Map([
    ["1", { values: new Map([["m:train/loss", undefined]]) }],
    ["2", { values: new Map<string, unknown>() }],
  ]);
  expect(unread(["1", "2", "3"], wanted, values)).toBe(2);
  expect(unread(["1", "2", "3"], [], values)).toBe(1);
});

test("all is listed again where what has changed since the last time is not known any more", async () => {
  const asked: string[] = [];
  let listed = [record("1"), record("2")];
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url.replace(/.*limit=\d+/, ""));
    const isOld = url.includes("changed_since=1");
    const page = { data: listed, total: listed.length, hasMore: false, cursor: null, asOf: String(asked.length) };
    return new Response(JSON.stringify(isOld ? { error: { code: "invalid", message: "list all again" } } : page), {
      status: isOld ? 400 : 200,
    });
  });
  const { signal } = new AbortController();
  listed = [record("1"), record("2")];
  const before = refresh(signal);
  listed = [record("2")];
  await before;
  expect([...records.value.keys()]).toEqual(["2"]);
  expect(asked).toEqual(["", "&changed_since=1", ""]);
});

test("values that had no room in an answer are asked for again", async () => {
  const asked: string[][] = [];
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    const { ids } = JSON.parse(init.body as string) as { ids: string[] };
    asked.push(ids);
    const data = [{ id: ids[0], params: {}, metrics: [], metricsTotal: 0, values: [] }];
    return new Response(JSON.stringify({ data, rest: ids.slice(1) }));
  });
  const found = await askValues(["1", "2", "3"], [], new AbortController().signal);
  expect(found.map((each) => each.id)).toEqual(["1", "2", "3"]);
  expect(asked).toEqual([["1", "2", "3"], ["2", "3"], ["3"]]);
});

test("words are looked for by the server, on as many pages as there are", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url.replace(/.*experiments\?/, ""));
    const isFirst = !url.includes("cursor");
    const page = { data: [record(isFirst ? "1" : "2")], hasMore: isFirst, cursor: isFirst ? "c" : null };
    return new Response(JSON.stringify(page));
  });
  await loadMatches(["a b", "c"], new AbortController().signal);
  expect(matches.value).toEqual({ key: matchKey(["a b", "c"]), ids: new Set(["1", "2"]) });
  expect(asked).toEqual(["limit=1000&text=a+b&text=c", "limit=1000&text=a+b&text=c&cursor=c"]);
});

test("what the pages do not know is asked of the server, page by page", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(new URL(url, "http://x").searchParams.get("filter") ?? "");
    const isLast = asked.length === 2;
    const page = { data: [record(String(asked.length))], total: 2, hasMore: !isLast, cursor: isLast ? null : "2", asOf: "1" };
    return new Response(JSON.stringify(page), { headers: { "content-type": "application/json" } });
  });
  await loadFiltered("max(val/acc) > 0.9 note:odd", new AbortController().signal);
  expect(filtered.value).toEqual({ filter: "max(val/acc) > 0.9 note:odd", ids: new Set(["1", "2"]) });
  expect(asked).toEqual(Array(2).fill("max(val/acc) > 0.9 note:odd"));
});
