/** The runs that are ticked, to do something with all of them at once. */

import { signal } from "@preact/signals";

/** Their ids. */
export const ticked = signal<ReadonlySet<string>>(new Set());

export function tick(ids: Iterable<string>, on: boolean): void {
  const next = new Set(ticked.peek());
  for (const id of ids) {
    if (on) next.add(id);
    else next.delete(id);
  }
  ticked.value = next;
}
