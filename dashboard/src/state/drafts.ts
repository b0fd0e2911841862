/** What somebody has begun to write: kept in the tab until it is saved or put away, whichever pages are looked at meanwhile. */

import { useState } from "preact/hooks";

const PREFIX = "ml-dash-draft ";

/**
 * As `useState`, but what is set is there again when the page is, also after a reload or another sign-in; null for none.
 *
 * @param isWorth Whether a draft has anything that would be lost.
 */
export function useDraft<T>(name: string, isWorth: (draft: T) => boolean): [T | null, (next: T | null) => void] {
  const [draft, setDraft] = useState<T | null>(() => keptOf<T>(name));
  const set = (next: T | null): void => {
    keep(name, next !== null && isWorth(next) ? next : null);
    setDraft(next);
  };
  return [draft, set];
}

export function keptOf<T>(name: string): T | null {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name) ?? "null") as T | null;
  } catch {
    return null;
  }
}

export function keep(name: string, draft: unknown): void {
  try {
    if (draft === null) sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, JSON.stringify(draft));
  } catch {
    // there is no room, or it is not allowed: then it lasts as long as the page
  }
}

/** Forget all: whoever signs out leaves nothing behind. */
export function forgetDrafts(): void {
  for (const name of Object.keys(sessionStorage)) if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
}
