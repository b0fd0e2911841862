/** The lines of all charts: asked for together, those that are looked at first, and kept while there is room. */

import { isAbort, postForBytes } from "../../api/client";
import { connection } from "../../state/connection";
import { type Columns, merged, type Points, sizeOf } from "./points";

/** What a line is of: a metric's field or an expression, of a run or of several together. */
export interface Source {
  experiment?: string;
  /** Of a band. */
  experiments?: readonly string[];
  metric?: string | null;
  field?: string;
  expression?: string;
  attempt?: string;
  /** Only of this rank of a distributed training. */
  rank?: number;
}

export interface Smooth {
  kind: "ema" | "mean" | "gaussian";
  amount: number;
}

/** How a line is drawn. */
export interface Window {
  x: string;
  start: number | null;
  stop: number | null;
  width: number;
  smooth: Smooth | null;
}

export interface Ask {
  source: Source;
  window: Window;
  /** Changes when there may be more: how many rows the runs have. */
  version: number;
}

export interface Curve {
  version: number;
  points: Points;
  /** Over what it is drawn: the index where steps were asked for, and there are none. */
  x: string;
  /** With which to ask for what is new. */
  cursor: string;
}

interface AnsweredLine {
  panel: number;
  line: number;
  error?: { message: string };
  unchanged?: boolean;
  x?: string;
  cursor?: string;
  first?: number;
  columns?: Columns;
}

export interface Answer {
  data: AnsweredLine[];
  rest: [number, number][];
}

interface AskedPanel extends Window {
  lines: (Source & { after?: string })[];
}

export type Fetch = (panels: AskedPanel[], signal: AbortSignal) => Promise<Answer>;

const AT_ONCE = 2;
/** Of a request. */
const [LINES_MAX, MEMBERS_MAX] = [240, 8000];
/** Numbers that are kept: about 100 MB. */
const NUMBERS_MAX = 12_000_000;
/** Milliseconds: what comes together is asked for together; and until it is asked again for what failed, at first and at last. */
const [TOGETHER, AGAIN, AGAIN_MAX] = [16, 3000, 120_000];

/** Tells lines apart, whatever their rows. */
export function keyOf({ source, window }: Ask): string {
  return JSON.stringify([source, window]);
}

interface Wanting {
  asks: readonly Ask[];
  keys: ReadonlySet<string>;
  told: () => void;
}

interface Running {
  keys: ReadonlySet<string>;
  controller: AbortController;
}

interface Failed {
  version: number;
  message: string;
  /** How often in turn. */
  times: number;
  /** Whether it is asked for again. */
  isDue: boolean;
}

export class Curves {
  private readonly known = new Map<string, Curve>();
  /** Of each line, as it was drawn last, however it was: it is shown until there is what is asked for. */
  private readonly latest = new Map<string, string>();
  private readonly wanting = new Map<string, Wanting>();
  private readonly running = new Set<Running>();
  private readonly failed = new Map<string, Failed>();
  private numbers = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly changed = new Set<string>();
  private isTelling = false;

  constructor(private readonly fetch: Fetch = ask) {}

  get(ask: Ask): Curve | undefined {
    const key = keyOf(ask);
    const found = this.known.get(key);
    if (!found) return undefined;
    // what was looked at last is let go last
    this.known.delete(key);
    this.known.set(key, found);
    return found;
  }

  /** The same line as it was asked for before: of another range, or smoothed otherwise, but over the same x. */
  before({ source, window }: Ask): Curve | undefined {
    const key = this.latest.get(JSON.stringify([source, window.x]));
    return key === undefined ? undefined : this.known.get(key);
  }

  problemOf(ask: Ask): string | undefined {
    return this.failed.get(keyOf(ask))?.message;
  }

  /** Say what a chart shows; `told` is called when any of it has come. */
  want(chart: string, asks: readonly Ask[], told: () => void): void {
    this.wanting.set(chart, { asks, keys: new Set(asks.map(keyOf)), told });
    this.letGo();
    this.soon(TOGETHER);
  }

  /** The chart is not looked at any more: what only it has asked for is broken off. */
  drop(chart: string): void {
    this.wanting.delete(chart);
    this.letGo();
  }

  private letGo(): void {
    for (const each of this.running) {
      const isWanted = [...this.wanting.values()].some(({ keys }) => [...each.keys].some((key) => keys.has(key)));
      if (!isWanted) each.controller.abort();
    }
  }

  private soon(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.pump(), milliseconds);
  }

  private pump(): void {
    if (document.hidden) return this.soon(AGAIN);
    while (this.running.size < AT_ONCE) {
      const next = this.next();
      if (!next.size) return;
      void this.send(next);
    }
  }

  /** What to ask for: what has never been there before what has become old, in the order of the charts. */
  private next(): Map<string, Ask> {
    const found = new Map<string, Ask>();
    const busy = new Set([...this.running].flatMap(({ keys }) => [...keys]));
    let members = 0;
    for (const isNew of [true, false]) {
      for (const { asks } of this.wanting.values()) {
        for (const ask of asks) {
          const key = keyOf(ask);
          const known = this.known.get(key);
          if (isNew === (known !== undefined) || busy.has(key) || found.has(key)) continue;
          if (known?.version === ask.version) continue;
          const failed = this.failed.get(key);
          if (failed?.version === ask.version && !failed.isDue) continue;
          members += ask.source.experiments?.length ?? 0;
          if (found.size && (found.size >= LINES_MAX || members > MEMBERS_MAX)) return found;
          found.set(key, ask);
        }
      }
    }
    return found;
  }

  private async send(asks: ReadonlyMap<string, Ask>): Promise<void> {
    const running = { keys: new Set(asks.keys()), controller: new AbortController() };
    this.running.add(running);
    const { panels, places } = this.panelsOf(asks);
    try {
      const { data } = await this.fetch(panels, running.controller.signal);
      for (const line of data) {
        const key = places[line.panel]?.[line.line];
        if (key !== undefined) this.take(key, asks.get(key)!, line);
      }
    } catch (error) {
      if (!isAbort(error)) for (const [key, ask] of asks) this.fail(key, ask, (error as Error).message);
    } finally {
      this.running.delete(running);
      this.pump();
    }
  }

  /** Lines of the same window stand in one panel of the request. */
  private panelsOf(asks: ReadonlyMap<string, Ask>): { panels: AskedPanel[]; places: string[][] } {
    const byWindow = new Map<string, number>();
    const [panels, places]: [AskedPanel[], string[][]] = [[], []];
    for (const [key, { source, window }] of asks) {
      const said = JSON.stringify(window);
      const at = byWindow.get(said) ?? panels.length;
      if (at === panels.length) {
        byWindow.set(said, at);
        panels.push({ ...window, lines: [] });
        places.push([]);
      }
      const known = this.known.get(key);
      panels[at]!.lines.push(known ? { ...source, after: known.cursor } : source);
      places[at]!.push(key);
    }
    return { panels, places };
  }

  private take(key: string, ask: Ask, line: AnsweredLine): void {
    const known = this.known.get(key);
    if (line.error) return this.fail(key, ask, line.error.message);
    this.failed.delete(key);
    if (line.unchanged && known) this.known.set(key, { ...known, version: ask.version });
    else {
      const points = merged(known?.points, line.first ?? 0, line.columns ?? {});
      this.keep(key, { version: ask.version, points, x: line.x ?? ask.window.x, cursor: line.cursor ?? "" });
      this.latest.set(JSON.stringify([ask.source, ask.window.x]), key);
      this.tell(key);
    }
  }

  private fail(key: string, ask: Ask, message: string): void {
    const before = this.failed.get(key);
    const times = before?.version === ask.version ? before.times + 1 : 1;
    const failed = { version: ask.version, message, times, isDue: false };
    this.failed.set(key, failed);
    this.tell(key);
    this.later(failed, Math.min(AGAIN_MAX, AGAIN * 2 ** (times - 1)));
  }

  /** What a run lacks it may have later; while the server is away nothing is asked for, and then all that was. */
  private later(failed: Failed, pause: number): void {
    setTimeout(() => {
      if (!connection.peek().online) return this.later(failed, AGAIN);
      failed.isDue = true;
      this.soon(0);
    }, pause);
  }

  private keep(key: string, curve: Curve): void {
    const before = this.known.get(key);
    if (before) this.numbers -= sizeOf(before.points);
    this.known.delete(key);
    this.known.set(key, curve);
    this.numbers += sizeOf(curve.points);
    for (const [oldest, each] of this.known) {
      if (this.numbers <= NUMBERS_MAX || oldest === key) break;
      this.known.delete(oldest);
      this.numbers -= sizeOf(each.points);
    }
  }

  /** Tell the charts that show a line, once for all that come together. */
  private tell(key: string): void {
    this.changed.add(key);
    if (this.isTelling) return;
    this.isTelling = true;
    requestAnimationFrame(() => {
      this.isTelling = false;
      const news = [...this.changed];
      this.changed.clear();
      for (const { keys, told } of [...this.wanting.values()]) if (news.some((each) => keys.has(each))) told();
    });
  }
}

function ask(panels: AskedPanel[], signal: AbortSignal): Promise<Answer> {
  return postForBytes<Answer>("experiments/series", { panels }, signal);
}

export const curves = new Curves();
