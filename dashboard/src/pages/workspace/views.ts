/** Views that were saved of a project: what the address says of one, under a name. */

import { computed, signal } from "@preact/signals";

import { ApiError, get, put, remove } from "../../api/client";
import type { SavedView, View as FullView, Views } from "../../api/types";
import { folderPath, navigate, query, setQuery } from "../../state/url";
import { view } from "./view";

/** Of which version of the pages views are; a later one may have what these do not know. */
export const FORMAT = 1;
const MISSING = 404;

/** Owner and project of what is shown; null where it is several projects. */
export const project = computed((): readonly [string, string] | null => {
  const [owner, name] = view.value.folder.split("/");
  return owner && name ? [owner, name] : null;
});

export const views = signal<readonly SavedView[]>([]);

/** The view that the address names, as it was read or saved last. */
export const current = signal<FullView | null>(null);

/** What the address says of the view, whose own name left out. */
function stateOf(given: URLSearchParams): string {
  const rest = new URLSearchParams(given);
  rest.delete("v");
  rest.sort();
  return rest.toString();
}

/** Whether the page shows something else than the view that it was opened by. */
export const isChanged = computed(() => current.value !== null && stateOf(query.value) !== savedState(current.value));

function savedState(saved: FullView): string {
  return stateOf(new URLSearchParams(String(saved.state.query ?? "")));
}

function pathOf([owner, name]: readonly [string, string], id = ""): string {
  const folder = `owners/${encodeURIComponent(owner)}/projects/${encodeURIComponent(name)}/views`;
  return id ? `${folder}/${id}` : folder;
}

export async function loadViews(of: readonly [string, string], signal: AbortSignal): Promise<void> {
  views.value = (await get<Views>(pathOf(of), {}, signal)).data;
}

/** Show the view that the address names, or where it says nothing the default one. */
export async function openFirst(of: readonly [string, string], signal: AbortSignal): Promise<void> {
  const asked = query.peek().get("v");
  if (current.peek() && asked === nameOf(current.peek()!)) return;
  const isPlain = query.peek().size === 0;
  const found = asked === null ? (isPlain ? views.peek().find((each) => each.default) : undefined) : byName(asked);
  if (!found) {
    current.value = null;
    if (asked) throw new NoSuchView(asked);
    return;
  }
  const saved = await read(of, found, signal);
  current.value = saved;
  if (isPlain || query.peek().size === 1) show(saved, true);
}

/** A link to one's own view is told from one to a project's. */
function nameOf(saved: Pick<SavedView, "id" | "mine">): string {
  return saved.mine ? `my.${saved.id}` : saved.id;
}

function byName(name: string): SavedView | undefined {
  return views.peek().find((each) => nameOf(each) === name);
}

function read(of: readonly [string, string], { id, mine }: SavedView, signal?: AbortSignal): Promise<FullView> {
  return get<FullView>(pathOf(of, id), { mine: mine || null }, signal);
}

function show(saved: FullView, replace: boolean): void {
  const search = new URLSearchParams(String(saved.state.query ?? ""));
  search.set("v", nameOf(saved));
  navigate(`${folderPath(view.peek().folder)}?${search}`, { replace });
}

export async function open(of: readonly [string, string], chosen: SavedView): Promise<void> {
  const saved = await read(of, chosen);
  current.value = saved;
  show(saved, false);
}

/** Show what nobody has saved: all as it is at first. */
export function openPlain(): void {
  current.value = null;
  // it says that no default is asked for
  navigate(`${folderPath(view.peek().folder)}?v=`);
}

/** The address names a view that is not there, or is somebody else's own. */
export class NoSuchView extends Error {
  constructor(name: string) {
    super(`The view “${name}” is not here: it was deleted, or it is somebody’s own. What else the link says is shown.`);
  }
}

/** A view that somebody else has saved meanwhile, or deleted. */
export class SavedMeanwhile extends Error {}

export interface About {
  name: string;
  mine: boolean;
  default: boolean;
}

/**
 * Save what is shown.
 *
 * @param over The view that it replaces; null for a new one.
 * @throws SavedMeanwhile where there is another version by now.
 */
export async function save(of: readonly [string, string], about: About, over: FullView | null): Promise<void> {
  const id = over?.id ?? idFor(about);
  const body = { name: about.name, format: FORMAT, default: about.default, state: { query: stateOf(query.peek()) } };
  try {
    const match = over && { "If-Match": `"${over.version}"` };
    current.value = await put<FullView>(pathOf(of, id), body, { params: { mine: about.mine || null }, headers: match ?? {} });
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "changed")) throw error;
    // theirs is among those that can be opened
    await loadViews(of, new AbortController().signal);
    throw new SavedMeanwhile(error.message);
  }
  show(current.value, true);
  await loadViews(of, new AbortController().signal);
}

/** Delete a view; return what brings it back. */
export async function discard(of: readonly [string, string], saved: SavedView): Promise<(() => Promise<void>) | null> {
  let undo: (() => Promise<void>) | null = null;
  try {
    const { name, format, default: isDefault, state } = await read(of, saved);
    undo = async () => {
      await put<FullView>(pathOf(of, saved.id), { name, format, default: isDefault, state }, { params: { mine: saved.mine || null } });
      await loadViews(of, new AbortController().signal);
    };
    await remove(pathOf(of, saved.id), { mine: saved.mine || null }, { "If-Match": `"${saved.version}"` });
  } catch (error) {
    if (!(error instanceof ApiError && error.status === MISSING)) throw error;
  }
  const shown = current.peek();
  if (shown?.id === saved.id && shown.mine === saved.mine) {
    current.value = null;
    setQuery({ v: null });
  }
  await loadViews(of, new AbortController().signal);
  return undo;
}

/** An id that no view has yet, made of its name. */
export function idFor({ name, mine }: Pick<About, "name" | "mine">): string {
  const plain = name.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 48) || "view";
  const taken = new Set(views.peek().filter((each) => each.mine === mine).map((each) => each.id));
  for (let number = 1; ; number++) {
    const id = number === 1 ? plain : `${plain}-${number}`;
    if (!taken.has(id)) return id;
  }
}
