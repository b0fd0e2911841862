import { afterEach, expect, test, vi } from "vitest";

import { forgetDrafts, keep, keptOf } from "./drafts";

/** A tab's storage as browsers have it, with room for so many characters. */
function stored(room: number): Record<string, string> {
  const kept: Record<string, string> = {};
  const methods = {
    getItem: (name: string) => kept[name] ?? null,
    setItem: (name: string, text: string) => {
      if (text.length > room) throw new DOMException("full", "QuotaExceededError");
      kept[name] = text;
    },
    removeItem: (name: string) => delete kept[name],
  };
  vi.stubGlobal("sessionStorage", new Proxy(methods, { ownKeys: () => Object.keys(kept), getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }) }));
  return kept;
}

afterEach(() => vi.unstubAllGlobals());

test("what was begun is there again until it is put away", () => {
  stored(1000);
  expect(keptOf("note exp_1")).toBe(null);
  keep("note exp_1", { text: "half a", before: "" });
  expect(keptOf("note exp_1")).toEqual({ text: "half a", before: "" });
  expect(keptOf("note exp_2")).toBe(null);
  keep("note exp_1", null);
  expect(keptOf("note exp_1")).toBe(null);
});

test("where there is no room nothing breaks, and whoever signs out leaves nothing but what is no draft", () => {
  const kept = stored(20);
  keep("note exp_1", { text: "x".repeat(100) });
  expect(keptOf("note exp_1")).toBe(null);
  keep("note exp_1", "short");
  kept.other = "1";
  kept["ml-dash-draft damaged"] = "{";
  expect(keptOf("damaged")).toBe(null);
  forgetDrafts();
  expect(kept).toEqual({ other: "1" });
});
