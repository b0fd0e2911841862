import { afterEach, expect, test, vi } from "vitest";

import { alikeAtFirst, type Asked, headOfName, leastOf, listing, RunList, shownBy } from "./runs";

interface Kept {
  id: string;
  prefix: string;
  /** What it has of a metric by now. */
  last: number;
  changed: number;
}

const ASKED: Asked = { folder: "", filter: "", order: "-started", columns: [], named: [] };
const SIGNAL = new AbortController().signal;

/** A server that has runs, the newest first, and tells pages of them as ours does. */
class Served {
  runs: Kept[];
  at = 0;

  constructor(count: number) {
    this.runs = Array.from({ length: count }, (_, at) => ({ id: `run-${count - at}`, prefix: `a/b/run-${count - at}`, last: 1, changed: 0 }));
    vi.stubGlobal("fetch", async (path: string) => new Response(JSON.stringify(this.answer(new URL(path, "http://server").searchParams))));
  }

  private answer(asked: URLSearchParams): unknown {
    const since = asked.get("changed_since");
    const start = Number(asked.get("cursor") ?? 0);
    const limit = Number(asked.get("limit"));
    const found = since === null ? this.runs : this.runs.filter((run) => run.changed > Number(since));
    const data = found.slice(start, start + limit).map(({ id, prefix, last }) => {
      // only by name are these told
      const params = asked.getAll("columns").includes("params") ? { params: { lr: 0.1 } } : {};
      return since === null ? { id, prefix, last, ...params } : { id, prefix };
    });
    return { data, total: this.runs.length, asOf: String(this.at), hasMore: start + limit < found.length, cursor: String(start + limit) };
  }

  change(id: string, last: number): void {
    this.at += 1;
    Object.assign(this.runs.find((run) => run.id === id)!, { last, changed: this.at });
  }

  add(id: string): void {
    this.at += 1;
    this.runs.unshift({ id, prefix: `a/b/${id}`, last: 1, changed: this.at });
  }
}

async function opened(count: number): Promise<{ served: Served; list: RunList }> {
  const served = new Served(count);
  const list = new RunList({ ...ASKED });
  await list.turn(SIGNAL);
  await list.reach(count, SIGNAL);
  expect(listing.value.rows.length).toBe(count);
  return { served, list };
}

function lastOf(id: string): unknown {
  return (listing.value.rows.find((row) => row.id === id) as unknown as Kept | undefined)?.last;
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("all parameters of all runs are told, however far down they are", async () => {
  await opened(150);
  expect(listing.value.rows.every((row) => row.params?.lr === 0.1)).toBe(true);
});

test("no run is lost when others come in before it, however many", async () => {
  for (const more of [1, 30, 260]) {
    const { served, list } = await opened(150);
    for (let at = 0; at < more; at++) served.add(`new-${at}`);
    await list.turn(SIGNAL);
    expect(listing.value.total).toBe(150 + more);
    expect(listing.value.rows.map((row) => row.id)).toEqual(served.runs.map((run) => run.id));
  }
});

test("what a run far down has by now is told, not at each turn, but as it was in the end", async () => {
  vi.useFakeTimers();
  const { served, list } = await opened(150);
  served.change("run-3", 7);
  await list.turn(SIGNAL);
  expect(lastOf("run-3")).toBe(7);
  served.change("run-3", 8);
  await list.turn(SIGNAL);
  expect(lastOf("run-3")).toBe(7);
  // nothing else changes
  vi.advanceTimersByTime(11_000);
  await list.turn(SIGNAL);
  expect(lastOf("run-3")).toBe(8);
});

test("a run far down that the filter leaves out by now does not stay", async () => {
  const { served, list } = await opened(150);
  served.runs = served.runs.filter((run) => run.id !== "run-3");
  served.change("run-9", 2);
  await list.turn(SIGNAL);
  expect(listing.value.rows.map((row) => row.id)).toEqual(served.runs.map((run) => run.id));
});

test("what was put aside is left out, unless the filter asks for that tag, whatever else has the word in it", () => {
  for (const filter of ["tag:archived", "lr<1 tag:archived", 'tags = "archived"', "tag!=archived"]) expect(shownBy(filter)).toBe(filter);
  for (const filter of ["note:archived", "name:archived-*", "tag:archived2", "loss<1"]) expect(shownBy(filter)).toBe(`tag!=archived ${filter}`);
  expect(shownBy("")).toBe("tag!=archived");
});

test("as many runs are read as are drawn or grouped, whatever is in sight", () => {
  const names = (count: number): Set<string> => new Set(Array.from({ length: count }, (_, at) => `run-${at}`));
  expect(leastOf({ group: [], shown: "first", except: names(50) })).toBe(0);
  expect(leastOf({ group: [], shown: "none", except: names(51) })).toBe(10_000);
  expect(leastOf({ group: [], shown: "all", except: names(0) })).toBe(500);
  expect(leastOf({ group: ["params.lr"], shown: "first", except: names(0) })).toBe(10_000);
});

test("names that begin alike are known by that, and short ones need not be", () => {
  const alike = alikeAtFirst(["a/resnet50-cosine-01", "b/resnet50-cosine-02", "a/vit-large-patch16", "run-1", "run-2"]);
  expect([...alike]).toEqual(["resnet50"]);
  expect([alike.has(headOfName("a/resnet50-x")), alike.has(headOfName("a/vit-large-patch16")), alike.has(headOfName("run-1"))]).toEqual([true, false, false]);
});
