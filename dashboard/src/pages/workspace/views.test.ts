import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { SavedView, View } from "../../api/types";
import { place } from "../../state/url";
import { current, discard, idFor, isChanged, openFirst, project, views } from "./views";

const SAVED = { id: "losses", name: "Losses", mine: false, default: false, format: 1, version: "1", updatedAt: "", who: null };

afterEach(() => vi.unstubAllGlobals());

beforeEach(() => {
  views.value = [];
  current.value = null;
});

test("a view is of one project: above that there is none", () => {
  place.value = { path: "/p/alice", search: "" };
  expect(project.value).toBe(null);
  place.value = { path: "/p/alice/vision/deep", search: "" };
  expect(project.value).toEqual(["alice", "vision"]);
});

test("a view is changed where the address says anything else, in whatever order", () => {
  current.value = { ...SAVED, state: { query: "m=loss&x=step" } } as View;
  place.value = { path: "/p/alice/vision", search: "?v=losses&x=step&m=loss" };
  expect(isChanged.value).toBe(false);
  place.value = { path: "/p/alice/vision", search: "?v=losses&x=epoch&m=loss" };
  expect(isChanged.value).toBe(true);
  current.value = null;
  expect(isChanged.value).toBe(false);
});

test("a new view has an id that none of the same shelf has", () => {
  views.value = [{ ...SAVED, id: "best-runs" }, { ...SAVED, id: "best-runs-2" }] as SavedView[];
  expect(idFor({ name: "Best runs!", mine: false })).toBe("best-runs-3");
  expect(idFor({ name: "Best runs!", mine: true })).toBe("best-runs");
  expect(idFor({ name: "损失", mine: false })).toBe("view");
});

test("a view that is deleted can be brought back as it was", async () => {
  const state = { query: "m=loss", of: "a newer version" };
  let kept: object | null = { ...SAVED, format: 2, state };
  vi.stubGlobal("fetch", async (path: string, { method, body }: RequestInit) => {
    if (method === "DELETE") kept = null;
    if (method === "PUT") kept = { ...SAVED, ...(JSON.parse(String(body)) as object) };
    return new Response(JSON.stringify(path.endsWith("/views") ? { data: kept ? [kept] : [] } : kept));
  });
  place.value = { path: "/p/alice/vision", search: "" };
  const undo = await discard(["alice", "vision"], SAVED as SavedView);
  expect([kept, views.value]).toEqual([null, []]);
  await undo!();
  expect(kept).toMatchObject({ name: "Losses", format: 2, state });
  expect(views.value).toHaveLength(1);
});

test("a link to a view that is not there says so; one to none in particular does not", async () => {
  const open = (search: string): Promise<void> => {
    place.value = { path: "/p/alice/vision", search };
    return openFirst(["alice", "vision"], new AbortController().signal);
  };
  await expect(open("?v=my.own&m=loss")).rejects.toThrow("“my.own” is not here");
  await expect(open("?v=")).resolves.toBe(undefined);
  await expect(open("?m=loss")).resolves.toBe(undefined);
});
