import { expect, test } from "vitest";

import { changed } from "../../state/url";
import { formerly } from "./former";
import { PLAIN as OWN } from "./panel/settings";
import { type View, viewOf, written } from "./view";

const PLAIN = viewOf("/p/alice/vision", new URLSearchParams());

function again(change: Partial<View>): View {
  return viewOf("/p/alice/vision", new URLSearchParams(changed("", written(change))));
}

test("all that is changed in a view comes back from its address, whatever names have in them", () => {
  const change: Partial<View> = {
    filter: 'max(val/acc)>0.9 "a, b"',
    order: "-max(val/acc)",
    columns: ["params.lr", '"params.a,b%2Cc"', "status"],
    shown: "all",
    except: new Set(["sweep/run,1", "100%25"]),
    x: "epoch",
    smoothing: 0.6,
    log: true,
    logX: true,
    size: "large",
    own: [{ title: "a ~ b, 5 %", lines: ["val/loss - train/loss", "%7E"] }],
    find: "^val/(loss|acc)",
    zoom: new Map([["step", [10, 20]], ["a~b", [-1.5, 2e10]]]),
    turned: new Set(["train"]),
    pinned: ["val/acc"],
    expanded: "val/acc",
    table: true,
    group: ["params.lr", "-params.seed"],
    spread: "std",
    ranks: 12,
    step: 0,
    histograms: "ridges",
    color: "params.lr",
    goal: "max(val/acc)",
    by: "model.name",
    settings: new Map([["a ~ b, 5 %", { ...OWN, x: "train/a~b", smooth: { kind: "mean", amount: 20 }, yRange: [null, 2], columns: 2 }]]),
    widths: new Map([["params.lr", 120], ["name", 300], ['"params.a~b"', 64]]),
    stuck: ["params.lr"],
  };
  expect(again(change)).toEqual({ ...PLAIN, ...change });
});

test("what is as it is at first does not stand in the address, and columns that somebody took away stay away", () => {
  const { folder: _, ...all } = PLAIN;
  expect(changed("", written({ ...all, columns: null }))).toBe("");
  expect(again({ columns: [] }).columns).toEqual([]);
  expect(PLAIN.columns).toBe(null);
});

test("an address that somebody has damaged shows what can be shown", () => {
  const damaged = new URLSearchParams("smooth=7&show=some&ranks=-1&zoom=step~2~1,x,~~&log=yes");
  expect(viewOf("/", damaged)).toEqual({ ...PLAIN, folder: "" });
});

test("addresses of former pages lead to what they showed", () => {
  const path = (address: string): string | null => {
    const url = new URL(address, "http://x");
    return formerly(url.pathname, url.searchParams);
  };
  expect(path("/?in=alice/vision&q=lr%3C1")).toBe("/p/alice/vision?q=lr%3C1");
  expect(path("/compare?e=alice/vision/a/run-1&e=alice/vision/b/run-2&x=step&log=1")).toBe(
    "/p/alice/vision?show=none&but=a/run-1,b/run-2&x=step&log=1",
  );
  expect(path("/?q=lr%3C1")).toBe(null);
  expect(path("/p/alice")).toBe(null);
});

test("colours that runs were given are in the address, whatever the runs are called", () => {
  const colored = new Map([["a~b,c", 3], ["run-1", 23]]);
  const { hues } = written({ colored });
  const given = new URLSearchParams({ hues: String(hues) });
  expect(viewOf("/p/alice/vision", given).colored).toEqual(colored);
  expect(viewOf("/p/alice/vision", new URLSearchParams("hues=x~24,y~-1,~3,z,w~ab")).colored).toEqual(new Map());
});
