/** One request for all lines that charts ask for at the same moment; what the server has no room or time for is asked again. */

import { postForBytes } from "../api/client";
import type { AskedPanel, Line, Lines } from "../api/types";

/** Milliseconds in which charts that come into sight together ask together. */
const TOGETHER = 8;
/** What one request may name. */
const [PANELS_MAX, LINES_MAX] = [100, 1000];

interface Waiting {
  panel: AskedPanel;
  signal: AbortSignal;
  /** Answers by line; empty where it is still to come. */
  found: (Line | undefined)[];
  resolve: (lines: Line[]) => void;
  reject: (error: unknown) => void;
}

let waiting: Waiting[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

/** Return an answer for each line of a panel, in their order. */
export function askPanel(panel: AskedPanel, signal: AbortSignal): Promise<Line[]> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  return new Promise((resolve, reject) => {
    waiting.push({ panel, signal, found: [], resolve, reject });
    timer ??= setTimeout(askAll, TOGETHER);
  });
}

function askAll(): void {
  timer = undefined;
  const all = waiting.filter(({ signal }) => !signal.aborted);
  for (const each of waiting) if (each.signal.aborted) each.reject(each.signal.reason);
  waiting = [];
  for (let rest = all; rest.length; ) {
    let lines = 0;
    let count = 0;
    while (count < Math.min(rest.length, PANELS_MAX) && (count === 0 || lines + rest[count]!.panel.lines.length <= LINES_MAX)) {
      lines += rest[count]!.panel.lines.length;
      count += 1;
    }
    void askSome(rest.slice(0, count));
    rest = rest.slice(count);
  }
}

/** Ask until all lines have their answers; given up when nobody waits any more. */
async function askSome(given: readonly Waiting[]): Promise<void> {
  const end = new AbortController();
  const leave = (each: Waiting): void => {
    each.reject(each.signal.reason);
    if (given.every(({ signal }) => signal.aborted)) end.abort();
  };
  const leaving = given.map((each) => {
    const left = (): void => leave(each);
    each.signal.addEventListener("abort", left);
    return () => each.signal.removeEventListener("abort", left);
  });
  try {
    for (let open = lacking(given); open.length; open = lacking(given)) {
      const panels = open.map(({ of, lines }) => ({ ...of.panel, lines: lines.map((at) => of.panel.lines[at]!) }));
      const { data } = await postForBytes<Lines>("experiments/series", { panels }, end.signal);
      for (const line of data) {
        const { of, lines } = open[line.panel]!;
        of.found[lines[line.line]!] = line;
      }
      for (const each of given) if (isWhole(each)) each.resolve(each.found as Line[]);
      if (!data.length) throw new Error("the server has answered for none of the lines");
    }
  } catch (error) {
    for (const each of given) each.reject(error);
  } finally {
    for (const stop of leaving) stop();
  }
}

function isWhole({ panel, found }: Waiting): boolean {
  return panel.lines.every((_, at) => found[at] !== undefined);
}

/** What is still to be asked for: each panel with the places of its lines. */
function lacking(given: readonly Waiting[]): { of: Waiting; lines: number[] }[] {
  return given
    .filter((each) => !each.signal.aborted && !isWhole(each))
    .map((of) => ({ of, lines: of.panel.lines.flatMap((_, at) => (of.found[at] === undefined ? [at] : [])) }));
}
