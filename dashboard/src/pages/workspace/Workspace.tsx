/** The workspace: the runs of a folder at the left, and their charts, laid over one another, at the right. */

import { PanelLeftOpen } from "lucide-preact";
import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";

import { useLoad, usePoll } from "../../state/poll";
import { experimentPath, navigate } from "../../state/url";
import { several } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { Charts } from "./Charts";
import { fields, loadFields } from "./fields";
import { FirstRun } from "./FirstRun";
import { hovered } from "./hover";
import { known, lackingOf, loadRanks } from "./ranks";
import { leastOf, listing, nameIn, nudge, RunList } from "./runs";
import { RunSet } from "./RunSet";
import { tick, ticked } from "./selection";
import { asked, colors, drawn, type Entry, entryAt, entryCount, groupId, loadAttempts, sampled, turnGroup } from "./state";
import { Tip, tip } from "./Tip";
import { show, view } from "./view";
import { drawnBy, groupSwitched, switched } from "./visible";

/** Milliseconds between an answer and the next question, which waits until something has changed. */
const POLL = 2000;
/** Rows behind those in sight that are asked for before somebody scrolls there. */
const AHEAD = 200;
const [WIDTH, WIDTH_LEAST, CHARTS_LEAST] = [364, 220, 320];
/** The run set takes this share of a wide window, if nobody has made it as wide as it is. */
const SHARE = 0.22;
const [WIDTH_KEY, CLOSED_KEY] = ["ml-dash-runs-width", "ml-dash-runs-closed"];
const SMOOTHER = 0.1;

export function Workspace(): JSX.Element {
  const { folder, table, filter } = view.value;
  const [active, setActive] = useState(-1);
  const [isClosed, setClosed] = useState(localStorage.getItem(CLOSED_KEY) === "1");
  const [width, setWidth] = useState(() => Number(localStorage.getItem(WIDTH_KEY)) || Math.max(WIDTH, Math.round(innerWidth * SHARE)));
  const { needed, onRange, reachAll } = useRuns();

  useEffect(() => {
    document.title = folder ? `${plain(folder)} · ML-Dash` : "ML-Dash";
    setActive(-1);
  }, [folder]);
  const close = (closed: boolean): void => {
    localStorage.setItem(CLOSED_KEY, closed ? "1" : "0");
    setClosed(closed);
  };
  useKeys({ active, setActive, close: () => close(!isClosed) });

  const { asked: answered, total } = listing.value;
  // asked for as a whole there are none
  const isEmpty = answered !== null && answered.folder === folder && !answered.filter && !filter && total === 0;
  if (isEmpty) return <FirstRun />;
  return (
    <div class={`workspace ${table ? "tabled" : ""} ${isClosed && !table ? "closed" : ""}`} data-rows={needed}>
      {isClosed && !table ? (
        <button type="button" class="icon shown runs-open" aria-label="Show the run set" title="Show the run set (r)" onClick={() => close(false)}>
          <PanelLeftOpen />
          <span>{several(drawn.value.length, "run")}</span>
        </button>
      ) : (
        <div class="runs-side" style={table ? {} : { width: `${width}px` }}>
          <RunSet
            width={width}
            active={active}
            onActive={setActive}
            onRange={onRange}
            onClose={() => (table ? show({ table: false }) : close(true))}
            reachAll={reachAll}
          />
          {!table && <Splitter width={width} onWidth={setWidth} />}
        </div>
      )}
      {!table && <Charts />}
      <Tip />
    </div>
  );
}

/** Keep the run set, and what is known of its drawn runs, as they are now. */
function useRuns(): { needed: number; onRange: (first: number, last: number) => void; reachAll: () => Promise<void> } {
  const [needed, setNeeded] = useState(0);
  const runs = useMemo(() => new RunList(asked.value), [asked.value]);
  usePoll(async (signal) => void (await runs.turn(signal)), POLL, [runs, nudge.value]);
  // further pages are behind the first one
  const hasBegun = listing.value.asked === asked.value;
  useLoad((signal) => runs.reach(needed, signal), [runs, needed, hasBegun]);
  const said = JSON.stringify(sampled.value.map((run) => [run.id, run.rows, run.attempts]));
  useLoad(
    async (signal) => {
      await Promise.all([loadAttempts(sampled.peek(), signal), loadFields(sampled.peek(), signal)]);
    },
    [said],
  );
  const lacking = lackingOf(sampled.value, fields.value, known.value, Date.now());
  useLoad((signal) => loadRanks(lacking, signal), [lacking.map(({ run }) => run.id).join()]);
  const onRange = useCallback((_: number, last: number) => {
    const pages = Math.ceil((last + AHEAD) / AHEAD) * AHEAD;
    setNeeded((before) => Math.max(before, pages));
  }, []);
  const reachAll = useCallback(() => runs.reach(Number.POSITIVE_INFINITY, new AbortController().signal), [runs]);
  const least = leastOf(view.value);
  useEffect(() => setNeeded((before) => Math.max(before, least)), [least]);
  return { needed, onRange, reachAll };
}

function Splitter(props: { width: number; onWidth: (width: number) => void }): JSX.Element {
  const from = useRef<{ at: number; width: number } | null>(null);
  const set = (wanted: number): void => {
    const width = Math.round(Math.min(innerWidth - CHARTS_LEAST, Math.max(WIDTH_LEAST, wanted)));
    localStorage.setItem(WIDTH_KEY, String(width));
    props.onWidth(width);
  };
  return (
    <div
      class="splitter"
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the run set"
      aria-valuenow={props.width}
      aria-valuemin={WIDTH_LEAST}
      aria-valuemax={Math.max(WIDTH_LEAST, innerWidth - CHARTS_LEAST)}
      tabIndex={0}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        from.current = { at: event.clientX, width: props.width };
      }}
      onPointerMove={(event) => from.current && set(from.current.width + event.clientX - from.current.at)}
      onPointerUp={() => (from.current = null)}
      onDblClick={() => set(WIDTH)}
      onKeyDown={(event) => {
        const by = { ArrowLeft: -SIDE_STEP, ArrowRight: SIDE_STEP }[event.key];
        if (by) set(props.width + by);
      }}
    />
  );
}
const SIDE_STEP = 20;

interface Keyed {
  active: number;
  setActive: (at: number) => void;
  close: () => void;
}

/** What keys do, wherever the focus is but in a text. */
function useKeys({ active, setActive, close }: Keyed): void {
  // keys may come faster than the page is drawn
  const at = useRef(active);
  at.current = active;
  useEffect(() => {
    function onKey(event: KeyboardEvent): void {
      const field = event.target as HTMLElement;
      const isText = /^(INPUT|TEXTAREA|SELECT)$/.test(field.tagName) && (field as HTMLInputElement).type !== "checkbox";
      if (isText || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      // what is open above the page is closed by the browser, and nothing else by the same key
      if (event.key === "Escape" && document.querySelector(":popover-open")) return;
      if (field.closest(".plot") && /^Arrow/.test(event.key)) return;
      if (act(event, field)) event.preventDefault();
    }
    function go(by: number, ticks: boolean): void {
      at.current = Math.max(0, Math.min(entryCount() - 1, at.current + by));
      const entry = entryAt(at.current);
      if (ticks && entry) tick(idsOf(entry), true);
      const id = entry?.group ? groupId(entry.group.key) : entry?.run.id;
      hovered.value = id !== undefined && colors.peek().has(id) ? id : null;
      setActive(at.current);
    }
    function act(event: KeyboardEvent, field: HTMLElement): boolean {
      const entry = entryAt(at.current);
      const now = view.peek();
      const isControl = /^(BUTTON|A|SUMMARY)$/.test(field.tagName);
      switch (event.key) {
        case "j":
        case "ArrowDown":
        case "J":
          return go(1, event.shiftKey), true;
        case "k":
        case "ArrowUp":
        case "K":
          return go(-1, event.shiftKey), true;
        case "Enter":
          if (!entry || isControl) return false;
          return entry.group ? turnGroup(entry.group.key) : navigate(experimentPath(entry.run.prefix)), true;
        case " ":
          if (!entry || isControl || field.tagName === "INPUT") return false;
          return tick(idsOf(entry), !idsOf(entry).every((id) => ticked.peek().has(id))), true;
        case "x": {
          if (!entry) return false;
          const { rows } = listing.peek();
          if (entry.group) return show({ except: groupSwitched(entry.group, now.except) }), true;
          return show({ except: switched(rows, now, new Set([entry.run.id]), !drawnBy(now)(entry.run, rows.indexOf(entry.run))) }), true;
        }
        case "o":
          if (!entry) return false;
          return show({ shown: "none", except: entry.group ? groupSwitched(entry.group, new Set()) : new Set([nameIn(entry.run, now.folder)]) }), true;
        case "a":
          return show({ shown: now.shown === "all" ? "first" : "all", except: new Set() }), true;
        case "r":
          return close(), true;
        case "t":
          return show({ table: !now.table }, { push: true }), true;
        case "l":
          return show({ log: !now.log }), true;
        case "]":
        case "[": {
          const by = event.key === "]" ? SMOOTHER : -SMOOTHER;
          return show({ smoothing: Math.round(Math.min(0.99, Math.max(0, now.smoothing + by)) * 100) / 100 }), true;
        }
        case "z":
          return show({ zoom: new Map() }), true;
        case "e": {
          const chart = field.closest<HTMLElement>("[data-chart]")?.dataset.chart ?? document.querySelector<HTMLElement>("[data-chart]:hover")?.dataset.chart;
          if (now.expanded !== null) return show({ expanded: null }), true;
          return chart ? (show({ expanded: chart }, { push: true }), true) : false;
        }
        case "Escape":
          return escaped(), true;
        default:
          return false;
      }
    }
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

function idsOf(entry: Entry): string[] {
  return entry.group ? entry.group.runs.map((run) => run.id) : [entry.run.id];
}

/** Close what is open, the uppermost first. */
function escaped(): void {
  const { expanded, table } = view.peek();
  if (tip.peek()) tip.value = null;
  else if (expanded !== null) show({ expanded: null });
  else if (table) show({ table: false });
  else if (ticked.peek().size) ticked.value = new Set();
}

/** For the help sheet. */
export const KEYS: readonly (readonly [string, string])[] = [
  ["/", "filter the runs"],
  ["j  k", "down and up in the run set; with Shift, tick on the way"],
  ["x", "draw the run, or not"],
  ["o", "draw this run only"],
  ["a", "draw all runs, or the first ones"],
  ["Space", "tick the run"],
  ["Enter", "open the run"],
  ["t", "the full table, and back"],
  ["r", "hide or show the run set"],
  ["e", "enlarge the chart under the mouse, and back"],
  ["[  ]", "less and more smoothing"],
  ["l", "logarithmic y"],
  ["z", "show all of x"],
  ["+  −  ←  →  0", "zoom, move and reset the focused chart"],
  ["drag", "zoom into x, or upright into y; with Shift, move; double-click to reset"],
  ["Ctrl + wheel", "zoom in or out"],
  ["click", "keep what a chart says at the mouse"],
  ["Ctrl + P", "print, with all charts of the open sections"],
  ["Esc", "close"],
];
