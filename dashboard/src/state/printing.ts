/** Whether the page is being put on paper. */

import { signal } from "@preact/signals";
import { options } from "preact";

export const printing = signal(false);

/** Runs that a table has on paper at most: more are what a CSV is for. */
export const PRINTED_MAX = 2000;

/** Change something, and have the page show it at once: a browser that prints waits for nothing. */
function atOnce(work: () => void): void {
  const former = options.debounceRendering;
  options.debounceRendering = (render) => render();
  try {
    work();
  } finally {
    if (former) options.debounceRendering = former;
    else delete options.debounceRendering;
  }
}

export function watchPrinting(): void {
  window.addEventListener("beforeprint", () => atOnce(() => (printing.value = true)));
  window.addEventListener("afterprint", () => (printing.value = false));
}
