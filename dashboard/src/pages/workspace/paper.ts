/** The charts of a workspace on paper: those that were never in sight are made and drawn before the browser prints. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { tell } from "../../ui/Notice";
import { several } from "../../ui/format";

/** Charts that are put on paper at most: each takes a question, and half a megabyte. */
export const PAPER_MAX = 120;
/** Milliseconds between two looks whether all is drawn, and until what is there is printed. */
const [LOOK, PATIENCE] = [100, 30_000];

/** Whether charts are drawn that nobody sees, for paper. */
export const preparing = signal(false);

/** Of sections of charts, how many of each are put on paper. */
export function onPaper(sections: readonly { open: boolean; charts: readonly unknown[] }[], most = PAPER_MAX): number[] {
  let left = most;
  return sections.map(({ open, charts }) => {
    const count = open ? Math.min(charts.length, left) : 0;
    left -= count;
    return count;
  });
}

/** What is said on paper of the charts that are not there. */
export function missingOnPaper(sections: readonly { open: boolean; charts: readonly unknown[] }[], isPrepared: boolean): string {
  if (!isPrepared) return "Charts are on paper as far as they were in sight: Ctrl+P in the page has all of them.";
  const count = (of: readonly { charts: readonly unknown[] }[]): number => of.reduce((sum, { charts }) => sum + charts.length, 0);
  const closed = count(sections.filter(({ open }) => !open));
  const beyond = count(sections.filter(({ open }) => open)) - onPaper(sections).reduce((sum, each) => sum + each, 0);
  const said = [
    ...(beyond ? [`${several(beyond, "chart")} behind the first ${PAPER_MAX}`] : []),
    ...(closed ? [`${several(closed, "chart")} of sections that are closed`] : []),
  ];
  return said.length ? `Not on paper: ${said.join(", and ")}.` : "";
}

function isDrawn(): boolean {
  return !document.querySelector(".charts-pane .plot.waiting");
}

function pause(): Promise<void> {
  return new Promise((done) => setTimeout(done, LOOK));
}

/** Have all charts drawn, and the page printed then. */
async function print(): Promise<void> {
  if (preparing.peek()) return;
  preparing.value = true;
  tell({ text: "All charts are being drawn, to be printed…" });
  try {
    const end = performance.now() + PATIENCE;
    do await pause();
    while (!isDrawn() && performance.now() < end);
    window.print();
  } finally {
    preparing.value = false;
  }
}

/** Take the browser's key for printing, as long as charts are shown. */
export function usePaper(isShown: boolean): void {
  useEffect(() => {
    if (!isShown) return;
    function onKey(event: KeyboardEvent): void {
      if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.key.toLowerCase() !== "p") return;
      event.preventDefault();
      void print();
    }
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [isShown]);
}
