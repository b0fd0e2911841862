/** Addresses of pages that the workspace has taken the place of: each leads to what it showed. */

import { changed, folderPath } from "../../state/url";
import { written } from "./view";

/** Where a former address leads now; null for one that is no former one. */
export function formerly(path: string, given: URLSearchParams): string | null {
  const prefixes = given.getAll("e");
  if (path === "/compare") return withDrawn(prefixes, given);
  if (path !== "/" || !["in", "e", "columns"].some((name) => given.has(name))) return null;
  const kept = changed("", { q: given.get("q"), ...drawnBy(prefixes, given.get("in") ?? "") });
  return `${folderPath(given.get("in") ?? "")}${kept}`;
}

/** The runs that were compared, drawn in the folder that has them all. */
function withDrawn(prefixes: readonly string[], given: URLSearchParams): string {
  const folder = sharedBy(prefixes);
  const kept = { x: given.get("x"), smooth: given.get("smooth"), log: given.get("log"), m: given.get("m") };
  return `${folderPath(folder)}${changed("", { ...drawnBy(prefixes, folder), ...kept })}`;
}

function drawnBy(prefixes: readonly string[], folder: string): ReturnType<typeof written> {
  if (!prefixes.length) return {};
  const names = prefixes.map((prefix) => (folder && prefix.startsWith(`${folder}/`) ? prefix.slice(folder.length + 1) : prefix));
  return written({ shown: "none", except: new Set(names) });
}

function sharedBy(prefixes: readonly string[]): string {
  const [first = [], ...others] = prefixes.map((prefix) => prefix.split("/").slice(0, -1));
  const end = first.findIndex((name, at) => others.some((parts) => parts[at] !== name));
  return first.slice(0, end === -1 ? first.length : end).join("/");
}
