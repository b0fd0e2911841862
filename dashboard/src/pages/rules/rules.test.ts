import { afterEach, expect, test, vi } from "vitest";

import { ApiError } from "../../api/client";
import type { Rule } from "../../api/types";
import { changeRule, draftOf, emptyDraft, folderOf, howOften, makeRule, problemsOf, problemsOfError, tells, waitsFor } from "./rules";

const RULE: Rule = {
  ...{ id: "rul_1", owner: "alice", name: "val loss", filter: "alice/vision/**", when: "above", metric: "val/loss", bound: 3 },
  ...{ minutes: null, level: null, rearmMinutes: 60, to: { kind: "webhook", shown: "https://x.org/…", signed: true } },
  ...{ createdAt: "2026-05-04T10:00:00Z", who: "ann", version: 4, changedAt: null, changedBy: null, fired: 0 },
  ...{ lastFiredAt: null, lastDeliveredAt: null, problem: null },
};

afterEach(() => vi.unstubAllGlobals());

function serve(): { path: string; init: RequestInit; body: Record<string, unknown> }[] {
  const asked: { path: string; init: RequestInit; body: Record<string, unknown> }[] = [];
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    asked.push({ path, init, body: JSON.parse(init.body as string) as Record<string, unknown> });
    return new Response(JSON.stringify(RULE));
  });
  return asked;
}

test("a rule is told in words", () => {
  expect([waitsFor(RULE), howOften(RULE), tells(RULE)]).toEqual([
    "val/loss > 3",
    "again after 60 minutes",
    "webhook https://x.org/…, signed",
  ]);
  expect(waitsFor({ ...RULE, when: "silent", minutes: 1 })).toBe("silent for 1 minute");
  expect(howOften({ ...RULE, rearmMinutes: null })).toBe("once an attempt");
  expect(howOften({ ...RULE, when: "failed" })).toBeNull();
});

test("metrics are looked for in the folder that a rule is for", () => {
  const of = (filter: string, owner = "alice"): string => folderOf({ filter, owner });
  expect(of("alice/vision/**")).toBe("alice/vision");
  expect(of("tag:sweep alice/vision/resnet-*/** lr<0.1")).toBe("alice/vision");
  expect(of("alice/vision/run-1")).toBe("alice/vision");
  expect(of("alice/*")).toBe("alice");
  expect(["", "tag:alice/x", "bob/vision/**", "**"].map((filter) => of(filter))).toEqual(["alice", "alice", "alice", "alice"]);
  expect(of("alice/vision/**", " ")).toBe("");
});

test("what a rule tells is sent only where it is to change, and of its kind only what that has", async () => {
  const asked = serve();
  await changeRule(RULE.id, RULE.version, draftOf(RULE));
  expect(asked[0]!.path).toBe("/api/v1/rules/rul_1");
  expect((asked[0]!.init.headers as Record<string, string>)["If-Match"]).toBe('"4"');
  expect(asked[0]!.body).toEqual({
    ...{ name: "val loss", filter: "alice/vision/**", when: "above", metric: "val/loss", bound: 3 },
    ...{ minutes: null, level: null, rearmMinutes: 60 },
  });
  const mail = { ...draftOf(RULE), keepsTo: false, kind: "mail", address: " a@b.org ", secret: "left from a webhook", url: "x" } as const;
  await changeRule(RULE.id, RULE.version, mail);
  expect(asked[1]!.body.to).toEqual({ kind: "mail", address: "a@b.org" });
  await makeRule({ ...emptyDraft("alice/vision/a b", "alice"), url: "https://x.org", metric: "left from above" });
  expect(asked[2]!.body).toEqual({
    ...{ owner: "alice", name: "failed runs", filter: "alice/vision/a?b/**", when: "failed", metric: null, bound: null },
    ...{ minutes: null, level: null, rearmMinutes: null, to: { kind: "webhook", url: "https://x.org" } },
  });
});

test("what is missing is told at its field", () => {
  expect(problemsOf(draftOf(RULE))).toEqual({});
  const empty = { ...emptyDraft("", ""), when: "above", bound: "3,5", rearmMinutes: "0" } as const;
  expect(Object.keys(problemsOf(empty)).sort()).toEqual(["bound", "metric", "owner", "rearmMinutes", "url"]);
  expect(problemsOf({ ...draftOf(RULE), when: "nonfinite", metric: "" })).toEqual({});
});

test("what a server says is told at the field that it names", () => {
  const wrong = (field: string | null, remedy: string | null): ApiError => new ApiError(400, "invalid", "whole", [], field, remedy);
  expect(problemsOfError(wrong("to.url", "no address of the internet"))).toEqual({ url: "no address of the internet" });
  expect(problemsOfError(wrong("minutes", "give 1"))).toEqual({ minutes: "give 1" });
  expect(problemsOfError(wrong("to", "give a url"))).toEqual({ url: "give a url" });
  expect(problemsOfError(wrong("no such", "x"))).toEqual({ "": "x" });
  expect(problemsOfError(wrong(null, null))).toEqual({ "": "whole" });
  const filter = new ApiError(400, "invalid", "whole", [{ start: 0, stop: 2, message: "lr is unknown" }]);
  expect(problemsOfError(filter)).toEqual({ filter: "lr is unknown" });
});
