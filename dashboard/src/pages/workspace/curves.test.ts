import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { connection } from "../../state/connection";
import { type Answer, type Ask, Curves, type Fetch } from "./curves";

const WINDOW = { x: "step", start: null, stop: null, width: 64, smooth: null };

function line(experiment: string, version = 1): Ask {
  return { source: { experiment, metric: "train", field: "loss" }, window: WINDOW, version };
}

type Panels = Parameters<Fetch>[0];

interface Open {
  panels: Panels;
  signal: AbortSignal;
  answer: (answer: Answer) => Promise<void>;
  fail: (error: Error) => Promise<void>;
}

beforeEach(() => {
  vi.stubGlobal("document", { hidden: false });
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => setTimeout(run, 0));
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Curves whose questions are answered by hand. */
function asked(): { curves: Curves; open: Open[] } {
  const open: Open[] = [];
  const curves = new Curves(
    (panels, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
        const answer = async (given: Answer): Promise<void> => {
          resolve(given);
          await vi.advanceTimersByTimeAsync(20);
        };
        const fail = async (error: Error): Promise<void> => {
          reject(error);
          await vi.advanceTimersByTimeAsync(20);
        };
        open.push({ panels, signal, answer, fail });
      }),
  );
  return { curves, open };
}

/** All lines of a question, with so many points each. */
function all(panels: Panels, points = 1, more: object = {}): Answer {
  const column = { type: "float64", data: new Uint8Array(new Float64Array(points).buffer) } as const;
  const data = panels.flatMap(({ lines }, panel) =>
    lines.map((_, at) => ({ panel, line: at, first: 0, cursor: "c", columns: { x: column, y: column }, ...more })),
  );
  return { data, rest: [] };
}

async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(20);
}

test("all lines of all charts are one question, each line once, and all charts are told", async () => {
  const { curves, open } = asked();
  const told: string[] = [];
  curves.want("one", [line("a"), line("b")], () => told.push("one"));
  curves.want("two", [line("b"), { ...line("b"), window: { ...WINDOW, x: "index" } }], () => told.push("two"));
  await settled();
  expect(open).toHaveLength(1);
  expect(open[0]!.panels.map((panel) => [panel.x, panel.lines.map((each) => each.experiment)])).toEqual([
    ["step", ["a", "b"]],
    ["index", ["b"]],
  ]);
  await open[0]!.answer(all(open[0]!.panels));
  expect(told).toEqual(["one", "two"]);
  expect(curves.get(line("a"))?.points.x).toHaveLength(1);
});

test("what there was no room for is asked for again, and what has more rows only for what is new", async () => {
  const { curves, open } = asked();
  curves.want("one", [line("a"), line("b")], () => undefined);
  await settled();
  const answer = all(open[0]!.panels);
  await open[0]!.answer({ data: answer.data.slice(0, 1), rest: [[0, 1]] });
  expect(open[1]!.panels[0]!.lines.map((each) => each.experiment)).toEqual(["b"]);
  await open[1]!.answer(all(open[1]!.panels));
  curves.want("one", [line("a", 2), line("b")], () => undefined);
  await settled();
  expect(open[2]!.panels[0]!.lines).toEqual([{ ...line("a").source, after: "c" }]);
  await open[2]!.answer(all(open[2]!.panels, 0, { unchanged: true, columns: undefined }));
  expect(curves.get(line("a"))).toMatchObject({ version: 2 });
  await settled();
  expect(open).toHaveLength(3);
});

test("what is scrolled away is broken off, but not what another chart still wants", async () => {
  const { curves, open } = asked();
  curves.want("one", [line("a")], () => undefined);
  await settled();
  curves.want("two", [line("a"), line("b")], () => undefined);
  await settled();
  curves.drop("one");
  expect(open.map(({ signal }) => signal.aborted)).toEqual([false, false]);
  curves.want("two", [line("b")], () => undefined);
  expect(open.map(({ signal }) => signal.aborted)).toEqual([true, false]);
});

test("a line that cannot be drawn says why, and the others are drawn", async () => {
  const { curves, open } = asked();
  curves.want("one", [line("a"), line("b")], () => undefined);
  await settled();
  const answer = all(open[0]!.panels);
  await open[0]!.answer({ ...answer, data: [{ panel: 0, line: 0, error: { message: "it was deleted" } }, answer.data[1]!] });
  expect(curves.problemOf(line("a"))).toBe("it was deleted");
  expect(curves.get(line("b"))).toBeDefined();
});

test("what failed is asked for again, the more seldom the more often it did, and says why meanwhile", async () => {
  const { curves, open } = asked();
  const pass = (milliseconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);
  curves.want("one", [line("a")], () => undefined);
  for (const pause of [100, 3000, 6000, 12_000]) {
    const before = open.length;
    await pass(pause - 100);
    expect(open).toHaveLength(before);
    await pass(200);
    expect(open).toHaveLength(before + 1);
    await open.at(-1)!.answer({ data: [{ panel: 0, line: 0, error: { message: "it has no epoch (yet)" } }], rest: [] });
    expect(curves.problemOf(line("a"))).toBe("it has no epoch (yet)");
  }
});

test("what was asked for while the server was away comes when it is back", async () => {
  const { curves, open } = asked();
  curves.want("one", [line("a")], () => undefined);
  await vi.advanceTimersByTimeAsync(100);
  connection.value = { online: false, since: 0 };
  await open[0]!.fail(new Error("the server does not answer"));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(open).toHaveLength(1);
  connection.value = { online: true, since: null };
  await vi.advanceTimersByTimeAsync(4000);
  expect(open).toHaveLength(2);
  await open[1]!.answer(all(open[1]!.panels));
  expect(curves.get(line("a"))).toBeDefined();
  expect(curves.problemOf(line("a"))).toBe(undefined);
});

test("until another range has come the line is there as it was, and memory is bounded", async () => {
  const { curves, open } = asked();
  const many = ["a", "b", "c", "d"].map((each) => line(each));
  for (const each of many) {
    curves.want("one", [each], () => undefined);
    await settled();
    await open.at(-1)!.answer(all(open.at(-1)!.panels, 2_000_000));
  }
  expect(many.map((each) => curves.get(each) !== undefined)).toEqual([false, true, true, true]);
  const closer: Ask = { ...line("d"), window: { ...WINDOW, start: 1, stop: 2 } };
  expect(curves.get(closer)).toBe(undefined);
  expect(curves.before(closer)?.points.x).toHaveLength(2_000_000);
});
