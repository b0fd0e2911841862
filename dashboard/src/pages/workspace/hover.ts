/** What the mouse is at, for all parts of a workspace: a run, and a place on an axis. */

import { signal } from "@preact/signals";

/** The id of the run whose row or line is under the mouse, or which the keyboard is at. */
export const hovered = signal<string | null>(null);

export interface Cursor {
  /** Charts with the same axis move along. */
  axis: string;
  x: number;
  /** The chart that the mouse is in. */
  chart: string;
}

export const cursor = signal<Cursor | null>(null);
