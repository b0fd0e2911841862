import { beforeEach, expect, test } from "vitest";

import type { SavedView, View } from "../../api/types";
import { place } from "../../state/url";
import { current, idFor, isChanged, project, views } from "./views";

const SAVED = { id: "losses", name: "Losses", mine: false, default: false, format: 1, version: "1", updatedAt: "", who: null };

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
