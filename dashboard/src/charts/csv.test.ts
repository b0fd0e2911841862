import { afterEach, expect, test, vi } from "vitest";

import { tableOf } from "./csv";
import type { Line } from "./load";

const line: Line = { key: "a", label: "=run", experimentId: "exp_1", name: "train", field: "more.loss", color: "#000" };
const ROWS = [
  '{"step": 1, "more": {"loss": 0.5}}',
  '{"step": 1, "more": {"loss": {"__float__": "NaN"}}}',
  '{"step": 2, "lr": 1}',
  '{"step": 3, "more": {"loss": {"__float__": "-Infinity"}}}',
  '{"step": 4, "more": {"loss": 12345678901234567890}}',
];

/** A server that answers two rows at a time, as it was asked. */
function serve(): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (address: string) => {
    asked.push(address);
    const start = Number(new URLSearchParams(address.split("?")[1]).get("start_index"));
    const data = ROWS.slice(start, start + 2).map(
      (row, at) => `{"index": ${start + at}, "createdAt": "2026-01-01T00:00:0${start + at}.5Z", "data": ${row}}`,
    );
    const end = start + data.length - 1;
    return new Response(
      `{"data": [${data.join(",")}], "startIndex": ${start}, "endIndex": ${end}, "total": 5, "hasMore": ${end < 4}}`,
    );
  });
  return asked;
}

async function written(lines: Line[], x: string, range: [number, number] | null = null): Promise<string[]> {
  let all = "";
  const table = { title: "train/loss", x, range, originOf: () => Date.parse("2026-01-01T00:00:00.5Z") / 1000 };
  for await (const part of tableOf(lines, table, new AbortController().signal, () => undefined)) all += part;
  return all.split("\r\n");
}

afterEach(() => vi.unstubAllGlobals());

test("has every row as it was logged: repeated steps, NaN, infinities, and integers of any length", async () => {
  serve();
  expect(await written([line], "step")).toEqual([
    "index,time,step,train/loss",
    "0,2026-01-01T00:00:00.5Z,1,0.5",
    "1,2026-01-01T00:00:01.5Z,1,NaN",
    "3,2026-01-01T00:00:03.5Z,3,-inf",
    "4,2026-01-01T00:00:04.5Z,4,12345678901234567890",
    "",
  ]);
});

test("of several lines tells which one a row is of, and no name is a formula", async () => {
  serve();
  const rows = await written([line, { ...line, label: 'a "b"' }], "index");
  expect(rows[0]).toBe("line,index,time,train/loss");
  expect(rows[1]).toMatch(/^'=run,0,/);
  expect(rows[5]).toMatch(/^"a ""b""",0,/);
});

test("of a part of the axis has the rows that lie there, and reads no further than it must", async () => {
  const asked = serve();
  expect((await written([line], "index", [0.5, 1.5])).slice(1)).toEqual(["1,2026-01-01T00:00:01.5Z,NaN", ""]);
  expect(asked.length).toBe(1);
  expect((await written([line], "relative", [2.5, 3.5])).slice(1)).toEqual(["3,2026-01-01T00:00:03.5Z,-inf", ""]);
  expect((await written([line], "step", [3, 4])).slice(1)).toEqual(["3,2026-01-01T00:00:03.5Z,3,-inf", ""]);
});
