/** The run set: as many pages of a list as are looked at, kept as it is now. */

import { signal } from "@preact/signals";

import { ApiError, get, isAbort, type Misunderstood } from "../../api/client";
import { encode } from "../../api/json";
import type { Experiments, ListedExperiment } from "../../api/types";
import type { View } from "./view";
import { ARCHIVED } from "../experiment/changing/changes";

/** What is asked for. */
export interface Asked {
  folder: string;
  filter: string;
  order: string;
  /** Besides the parameters, as lists take them. */
  columns: readonly string[];
  /** Names below the folder of runs that are drawn wherever they are in the list. */
  named: readonly string[];
}

export interface Listing {
  /** What it is the answer to; null before the first one. */
  asked: Asked | null;
  /** From the first on; not all of them while `rows` are fewer than `total`. */
  rows: readonly ListedExperiment[];
  /** Runs that are drawn by name and are not among the rows. */
  besides: readonly ListedExperiment[];
  total: number;
  /** What of the filter is not understood. */
  problems: readonly Misunderstood[];
  /** Why there is no answer. */
  error: string;
  /** Whether rows of an older version are still read, and values may be missing. */
  pending: boolean;
}

const [FIRST_PAGE, PAGE] = [100, 1000];
/** Of each run: which of them differ is told by all runs that are known, not by the first ones. */
const ALL_PARAMS = "params";
/** Seconds that the server waits for something to change: so a page on which nothing does asks for hardly anything. */
const WAIT = 20;
/** What is behind the first page is read again so long after it was, in milliseconds, and so many times as long as that took. */
const [AGAIN, SHARE] = [10_000, 10];
const NAMED_MAX = 50;
/** So many runs are put into groups; and so many lines are drawn: more nobody tells apart, and a chart would take seconds. */
export const [GROUPED_MAX, DRAWN_MAX] = [10_000, 500];
const INVALID = 400;
const LEAVES_OUT = `tag!=${ARCHIVED}`;
const ASKS = new RegExp(`(^|\\s)tags?\\s*!?[:=]\\s*["']?${ARCHIVED}\\b`, "i");
const EMPTY: Listing = { asked: null, rows: [], besides: [], total: 0, problems: [], error: "", pending: false };

export const listing = signal<Listing>(EMPTY);

/** Goes on when something was changed here: the list is asked for at once. */
export const nudge = signal(0);

/** What is asked for of a run set, a page at a time. */
export class RunList {
  private cursor: string | null = null;
  private asOf: string | null = null;
  /** Whether what is behind the first page may be otherwise by now, and from when on it is read again. */
  private behind = { isOld: false, from: 0 };

  constructor(private readonly asked: Asked) {}

  /** Ask for the first page; later for what has changed since, and where anything has, for the first page again. */
  async turn(signal: AbortSignal): Promise<void> {
    try {
      if (this.asOf !== null) {
        const news = await this.changed(this.asOf, signal);
        if (news && !news.length) return await this.readAgain(signal);
        // what is far below is not asked for again, but how it stands is told
        if (news) listing.value = { ...listing.peek(), rows: patched(listing.peek().rows, news) };
      }
      await this.first(signal);
      await this.readAgain(signal);
    } catch (error) {
      if (isAbort(error)) throw error;
      const { message } = error as Error;
      const isFilter = error instanceof ApiError && error.problems.length > 0 && message.startsWith("filter=");
      listing.value = { ...listing.peek(), problems: isFilter ? placed(error.problems, this.asked.filter) : [], error: isFilter ? "" : message };
      throw error;
    }
  }

  /** Ask for further pages until so many rows are known. */
  async reach(count: number, signal: AbortSignal): Promise<void> {
    while (this.cursor && listing.peek().rows.length < count) {
      const page = await this.page(PAGE, this.cursor, signal);
      this.cursor = page.hasMore ? page.cursor : null;
      listing.value = { ...listing.peek(), rows: joined(listing.peek().rows, page.data), total: page.total };
    }
  }

  private async first(signal: AbortSignal): Promise<void> {
    const page = await this.page(FIRST_PAGE, null, signal);
    const before = listing.peek();
    const isSame = before.asked === this.asked;
    // whatever was there stays until it is read again: what came in has moved others behind the first page
    const further = isSame && page.hasMore && before.rows.length > FIRST_PAGE ? before.rows : [];
    if (further.length) this.behind.isOld = true;
    else this.cursor = page.hasMore ? page.cursor : null;
    this.asOf = page.asOf;
    const rows = joined(merged(page.data), further);
    const besides = await this.besides(rows, signal);
    listing.value = { asked: this.asked, rows, besides, total: page.total, problems: [], error: "", pending: page.pending ?? false };
  }

  /** Read again what is behind the first page, as far as it was known, where that may be otherwise by now. */
  private async readAgain(signal: AbortSignal): Promise<void> {
    const began = Date.now();
    if (!this.behind.isOld || began < this.behind.from) return;
    const { rows: before, total } = listing.peek();
    const isWhole = before.length >= total;
    let rows: ListedExperiment[] = [];
    let cursor: string | null = null;
    let page: Experiments;
    do {
      page = await this.page(cursor === null ? FIRST_PAGE : PAGE, cursor, signal);
      rows = joined(rows, merged(page.data));
      cursor = page.hasMore ? page.cursor : null;
      // somebody may scroll on meanwhile
    } while (cursor && (isWhole || rows.length < listing.peek().rows.length));
    this.behind = { isOld: false, from: Date.now() + Math.max(AGAIN, SHARE * (Date.now() - began)) };
    this.cursor = cursor;
    listing.value = { ...listing.peek(), rows, total: page.total };
  }

  /** The runs that are drawn by name and that no page has yet. */
  private async besides(rows: readonly ListedExperiment[], signal: AbortSignal): Promise<ListedExperiment[]> {
    const { folder, columns, named } = this.asked;
    const known = new Set(rows.map((row) => nameIn(row, folder)));
    const prefixes = named.filter((name) => !known.has(name)).slice(0, NAMED_MAX).map((name) => (folder ? `${folder}/${name}` : name));
    const found = await Promise.all(
      prefixes.map(async (prefix) => {
        const page = await get<Experiments>("experiments", { prefix, limit: FIRST_PAGE, columns: [ALL_PARAMS, ...columns] }, signal);
        return page.data.find((row) => row.prefix === prefix);
      }),
    );
    return found.flatMap((row) => row ?? []);
  }

  private page(limit: number, cursor: string | null, signal: AbortSignal): Promise<Experiments> {
    const { folder, filter, order, columns } = this.asked;
    const asked = { limit, cursor, prefix: folder || null, filter: shownBy(filter), order, columns: [ALL_PARAMS, ...columns] };
    return get<Experiments>("experiments", asked, signal);
  }

  /** Null where that is so long ago that nobody knows. */
  private async changed(asOf: string, signal: AbortSignal): Promise<ListedExperiment[] | null> {
    const { isOld, from } = this.behind;
    const wait = isOld ? Math.min(WAIT, Math.max(0, Math.ceil((from - Date.now()) / 1000))) : WAIT;
    const asked = { limit: PAGE, prefix: this.asked.folder || null, changed_since: asOf, wait };
    try {
      const page = await get<Experiments>("experiments", asked, signal);
      // an answer to nothing is the time from which to ask next
      if (!page.data.length) this.asOf = page.asOf;
      return page.data;
    } catch (error) {
      if (error instanceof ApiError && error.status === INVALID) return null;
      throw error;
    }
  }
}

/** Rows as they stand now, without those that were deleted; what was asked for as columns stays until it is asked for again. */
function patched(rows: readonly ListedExperiment[], news: readonly ListedExperiment[]): ListedExperiment[] {
  const byId = new Map(news.map((row) => [row.id, row]));
  return rows.flatMap((row) => {
    const now = byId.get(row.id);
    return now?.deletedAt ? [] : [now ? { ...row, ...now } : row];
  });
}

/** A filter that leaves out what was put aside, unless it asks for that. */
export function shownBy(filter: string): string {
  return ASKS.test(filter) ? filter : `${LEAVES_OUT} ${filter}`.trim();
}

/** Problems where they are in the filter that somebody has written. */
function placed(problems: readonly Misunderstood[], filter: string): Misunderstood[] {
  const before = shownBy(filter).length - filter.length;
  return problems.map(({ start, stop, message }) => ({ start: start - before, stop: stop - before, message }));
}

/** So many rows have to be there, whatever is in sight: of runs that are put into groups, or drawn, without being looked at. */
export function leastOf({ group, shown, except }: Pick<View, "group" | "shown" | "except">): number {
  if (group.length) return GROUPED_MAX;
  if (shown === "all") return DRAWN_MAX;
  // more names than are asked for one by one are found among all
  return except.size > NAMED_MAX ? GROUPED_MAX : 0;
}

/** Rows one behind the other, each once: a list moves on between two pages. */
function joined(rows: readonly ListedExperiment[], more: readonly ListedExperiment[]): ListedExperiment[] {
  const ids = new Set(rows.map((row) => row.id));
  return [...rows, ...more.filter((row) => !ids.has(row.id))];
}

/** Rows, each the one that is known already where nothing of it differs, so that what shows it stays as it is. */
function merged(rows: readonly ListedExperiment[]): ListedExperiment[] {
  const known = new Map(listing.peek().rows.map((row) => [row.id, row]));
  return rows.map((row) => {
    const before = known.get(row.id);
    return before && encode(before) === encode(row) ? before : row;
  });
}

/** The name of a run below the folder that is shown. */
export function nameIn(run: Pick<ListedExperiment, "prefix">, folder: string): string {
  return folder && run.prefix.startsWith(`${folder}/`) ? run.prefix.slice(folder.length + 1) : run.prefix;
}

/** So many characters of two names that are the same leave little of either in sight. */
const ALIKE = 8;

/** What is compared of a run's name: how it begins, behind its folders; nothing of a short one. */
export function headOfName(prefix: string): string {
  const name = prefix.slice(prefix.lastIndexOf("/") + 1);
  return name.length > ALIKE ? name.slice(0, ALIKE) : "";
}

/** How more than one of these runs begins: where there is no room, the ends of their names tell them apart. */
export function alikeAtFirst(prefixes: readonly string[]): ReadonlySet<string> {
  const [seen, alike] = [new Set<string>(), new Set<string>()];
  for (const head of prefixes.map(headOfName)) {
    if (!head) continue;
    if (seen.has(head)) alike.add(head);
    seen.add(head);
  }
  return alike;
}
