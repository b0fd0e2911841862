/** The address is where the state of a view lives, so that a view can be shared. */

import { computed, signal } from "@preact/signals";

import { addressOf, pathIn } from "./base";

interface Place {
  path: string;
  search: string;
}

export type Change = Record<string, string | string[] | null>;

const here = (): Place => ({ path: pathIn(location.pathname), search: location.search });

export const place = signal<Place>(typeof location === "undefined" ? { path: "/", search: "" } : here());
export const query = computed(() => new URLSearchParams(place.value.search));

if (typeof window !== "undefined") {
  window.addEventListener("popstate", () => {
    place.value = here();
  });
}

/** Go to another page; `path` may have a query. */
export function navigate(path: string, options: { replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(null, "", addressOf(path));
  else {
    history.pushState(null, "", addressOf(path));
    window.scrollTo(0, 0);
  }
  place.value = here();
}

/** Change arguments of the address; null removes one. */
export function setQuery(change: Change, options: { push?: boolean } = {}): void {
  const search = changed(place.value.search, change);
  if (search === place.value.search) return;
  const path = addressOf(`${place.value.path}${search}`);
  if (options.push) history.pushState(null, "", path);
  else history.replaceState(null, "", path);
  place.value = here();
}

/** Return a query with arguments changed, the others as they were. */
export function changed(search: string, change: Change): string {
  const next = new URLSearchParams(search);
  for (const [name, value] of Object.entries(change)) {
    next.delete(name);
    if (Array.isArray(value)) for (const each of value) next.append(name, each);
    else if (value !== null && value !== "") next.set(name, value);
  }
  // what needs no escape in a query stays as it is read
  const text = next.toString().replace(/%2C|%2F|%3A|%7E/g, decodeURIComponent);
  return text ? `?${text}` : "";
}

/** The address of an experiment's page. */
export function experimentPath(prefix: string): string {
  return `/experiments/${prefix.split("/").map(encodeURIComponent).join("/")}`;
}

/** The prefix that the address of a page names; null where it is none. */
export function prefixOf(path: string): string | null {
  return below("/experiments/", path);
}

function below(start: string, path: string): string | null {
  const rest = path.startsWith(start) ? path.slice(start.length).replace(/\/+$/, "") : "";
  try {
    return rest ? rest.split("/").map(decodeURIComponent).join("/") : null;
  } catch {
    return null;
  }
}

/** The address of the workspace of a folder; the empty one has all experiments. */
export function folderPath(folder: string): string {
  return folder ? `/p/${folder.split("/").map(encodeURIComponent).join("/")}` : "/";
}

/** The folder whose workspace an address names; null where it is another page. */
export function folderOf(path: string): string | null {
  return path === "/" ? "" : below("/p/", path);
}

/** The address of the rules of alerts that concern a folder; the empty one has all. */
export function rulesPath(folder: string): string {
  return `/rules${changed("", { folder })}`;
}

/** The address at which runs are told apart; the first is what the others are held against. */
export function diffPath(prefixes: readonly string[]): string {
  return `/diff?${new URLSearchParams(prefixes.map((each) => ["e", each]))}`;
}
