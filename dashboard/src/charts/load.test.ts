import { encode } from "@msgpack/msgpack";
import { afterEach, describe, expect, test, vi } from "vitest";

import type { AskedPanel, Column } from "../api/types";
import { beginningOf, type Line, loadLines, type Window } from "./load";

const window: Window = { x: "step", range: null, width: 200, smoothing: 0 };
const signal = new AbortController().signal;

function line(experimentId: string, more: Partial<Line> = {}): Line {
  return { key: experimentId, label: experimentId, experimentId, name: "train", field: "loss", color: "#000", ...more };
}

interface Body {
  panels: AskedPanel[];
}
type Told = Record<string, unknown>;

/** A server that answers each line by what `tell` says, and has room for `room` of them at once. */
function serve(tell: (panel: AskedPanel, line: AskedPanel["lines"][number]) => Told, room = Number.POSITIVE_INFINITY): Body[] {
  const asked: Body[] = [];
  vi.stubGlobal("fetch", async (_: string, { body }: RequestInit) => {
    const given = JSON.parse(body as string) as Body;
    asked.push(given);
    const all = given.panels.flatMap((panel, at) => panel.lines.map((each, number) => ({ panel: at, line: number, ...tell(panel, each) })));
    const rest = all.slice(room).map(({ panel, line }) => [panel, line]);
    return new Response(encode({ data: all.slice(0, room), rest }));
  });
  return asked;
}

const column = (numbers: number[]): Column => ({ type: "float64", data: new Uint8Array(Float64Array.from(numbers).buffer) });
const points = (x: number[], y: number[]): Told => ({
  cursor: "c1",
  points: x.length,
  first: 0,
  columns: { x: column(x), y: column(y) },
});

afterEach(() => vi.unstubAllGlobals());

describe("charts that come into sight together", () => {
  test("ask by one request, each line with its own question", async () => {
    const asked = serve((panel, { experiment }) => points([panel.width ?? 0], [experiment === "a" ? 1 : 2]));
    const found = await Promise.all([
      loadLines([line("a"), line("b", { attempt: 3, name: null })], "k", window, null, signal),
      loadLines([line("b")], "k", { ...window, range: [1, 2], smoothing: 0.6 }, null, signal),
    ]);
    expect(asked.length).toBe(1);
    expect(asked[0]!.panels[0]!.lines[1]).toEqual({ experiment: "b", metric: null, field: "loss", attempt: "3", rank: null, after: null });
    expect(asked[0]!.panels[1]).toMatchObject({ x: "step", start: 1, stop: 2, smooth: { kind: "ema", amount: 0.6 } });
    expect(found.map((each) => [...each.data.values()].map((data) => data.columns.y))).toEqual([[[1], [2]], [[2]]]);
  });

  test("get what there was no room for by asking again, and that alone", async () => {
    const asked = serve((_, { experiment }) => points([0], [Number(experiment)]), 2);
    const lines = ["1", "2", "3", "4", "5"].map((each) => line(each));
    const { data } = await loadLines(lines, "k", window, null, signal);
    expect([...data.values()].map(({ columns }) => columns.y[0])).toEqual([1, 2, 3, 4, 5]);
    expect(asked.map(({ panels }) => panels[0]!.lines.length)).toEqual([5, 3, 1]);
  });

  test("are told of each line that cannot be had, and see the others", async () => {
    serve((_, { experiment }) => (experiment === "gone" ? { error: { code: "gone", message: "was deleted" } } : points([0], [1])));
    const { data, problems } = await loadLines([line("gone"), line("a")], "k", window, null, signal);
    expect(problems).toEqual(["gone: was deleted"]);
    expect([data.get("gone")!.columns.x, data.get("a")!.columns.x]).toEqual([[], [0]]);
  });

  test("take a field that nothing has yet for an empty line", async () => {
    serve(() => ({ error: { code: "not_found", message: "no field" } }));
    expect((await loadLines([line("a")], "k", window, null, signal)).problems).toEqual([]);
  });
});

test("a line that goes on is asked for by what is known of it, and stays the same where nothing came", async () => {
  const asked = serve((_, { after }) => (after ? { unchanged: true, cursor: after } : points([0, 1], [5, 6])));
  const first = await loadLines([line("a")], "k", window, null, signal);
  const again = await loadLines([line("a")], "k", window, first, signal);
  expect(asked[1]!.panels[0]!.lines[0]!.after).toBe("c1");
  expect(again).toBe(first);
});

test("who does not wait any more is not waited for, and the others get their answers", async () => {
  let ended = false;
  let release: (() => void) | undefined;
  vi.stubGlobal("fetch", (_: string, { signal: given }: RequestInit) => {
    given!.addEventListener("abort", () => (ended = true));
    return new Promise((resolve) => {
      release = () => resolve(new Response(encode({ data: [0, 1].map((panel) => ({ panel, line: 0, ...points([0], [7]) })), rest: [] })));
    });
  });
  const leaving = new AbortController();
  const left = loadLines([line("a")], "k", window, null, leaving.signal);
  const stays = loadLines([line("b")], "k", window, null, signal);
  await vi.waitFor(() => expect(release).toBeDefined());
  leaving.abort();
  await expect(left).rejects.toThrow();
  expect(ended).toBe(false);
  release!();
  expect((await stays).data.get("b")!.columns.y).toEqual([7]);
});

test("a line's relative time counts from where the server says", async () => {
  serve((panel) => points([panel.x === "time" ? 1000.5 : 2.5], [1]));
  expect(await beginningOf(line("a"), signal)).toBe(998);
  serve(() => ({ error: { code: "not_found", message: "" } }));
  expect(await beginningOf(line("a"), signal)).toBeNull();
});
