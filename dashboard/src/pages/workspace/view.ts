/** What a workspace shows, as the address has it: short, and readable by people. */

import { computed } from "@preact/signals";

import { COLORS } from "./colors";
import type { Spread } from "./plot/trace";
import { partsOf, type Settings, settingsOf } from "./panel/settings";
import { choiceOf, type RankChoice } from "./ranks";
import type { Own } from "./sections";
import { type Change, folderOf, place, query, setQuery } from "../../state/url";

export type Range = readonly [number, number];
/** Which runs are drawn before single ones are switched on or off. */
export type Shown = "first" | "all" | "none";

export interface View {
  /** Empty for all experiments. */
  folder: string;
  /** In the language of lists; see docs/analysis.md. */
  filter: string;
  /** As lists take it: "-started", "max(val/acc)". */
  order: string;
  /** Names of columns in the language of lists; null where they are chosen by themselves. */
  columns: readonly string[] | null;
  shown: Shown;
  /** Runs, by their names below the folder, that are drawn though `shown` leaves them out, or the other way round. */
  except: ReadonlySet<string>;
  /** Null for what most metrics have. */
  x: string | null;
  smoothing: number;
  log: boolean;
  logX: boolean;
  /** How large charts are. */
  size: Size;
  /** Charts that somebody has put together. */
  own: readonly Own[];
  /** A regular expression over the names of charts. */
  find: string;
  /** What is shown of each axis that was zoomed. */
  zoom: ReadonlyMap<string, Range>;
  /** Sections that are not as they are at first. */
  turned: ReadonlySet<string>;
  pinned: readonly string[];
  /** The chart that fills the page. */
  expanded: string | null;
  /** The table over the charts. */
  table: boolean;
  /** Columns by which runs are grouped; with "-" before it, by all parameters that differ but this one. */
  group: readonly string[];
  /** What is drawn around the mean of a group. */
  spread: Spread;
  /** What is drawn of a run that several ranks have logged; null for the path of all its rows. */
  ranks: RankChoice;
  /** At which images and the like are shown; null for the last. */
  step: number | null;
  /** How histograms over steps are drawn. */
  histograms: Histograms;
  /** The column by which runs are coloured. */
  color: string | null;
  /** Places in the palette that somebody has given to runs, by their names below the folder. */
  colored: ReadonlyMap<string, number>;
  /** The column that is the result by which runs are compared; null where it is chosen by itself. */
  goal: string | null;
  /** The parameter against which results are drawn; null for the first that differs. */
  by: string | null;
  /** What single charts have of their own, by their names. */
  settings: ReadonlyMap<string, Settings>;
  /** Pixels of columns of the run set, of those that were made wider or narrower. */
  widths: ReadonlyMap<string, number>;
  /** Columns that stay in sight beside the name. */
  stuck: readonly string[];
}

export const SIZES = ["small", "medium", "large"] as const;
export type Size = (typeof SIZES)[number];
export const HISTOGRAMS = ["heat", "ridges"] as const;
export type Histograms = (typeof HISTOGRAMS)[number];
export const ORDER = "-started";
export const SPREADS = ["minmax", "std", "stderr"] as const satisfies readonly Spread[];
const SHOWN: readonly string[] = ["first", "all", "none"];
const SMOOTHEST = 0.999;
/** Pixels of a column. */
export const [COLUMN_LEAST, COLUMN_MAX] = [48, 800];

export function viewOf(path: string, given: URLSearchParams): View {
  const smoothing = Number(given.get("smooth") ?? 0);
  const shown = given.get("show") ?? "first";
  return {
    folder: folderOf(path) ?? "",
    filter: given.get("q") ?? "",
    order: given.get("sort") ?? ORDER,
    columns: given.has("cols") ? listed(given.get("cols")) : null,
    shown: SHOWN.includes(shown) ? (shown as Shown) : "first",
    except: new Set(listed(given.get("but"))),
    x: given.get("x"),
    smoothing: smoothing >= 0 && smoothing <= SMOOTHEST ? smoothing : 0,
    log: given.get("log") === "1",
    logX: given.get("logx") === "1",
    size: SIZES.find((each) => each === given.get("size")) ?? SIZES[0],
    own: listed(given.get("own")).flatMap(ownOf),
    find: given.get("m") ?? "",
    zoom: zooms(listed(given.get("zoom"))),
    turned: new Set(listed(given.get("turn"))),
    pinned: listed(given.get("pin")),
    expanded: given.get("chart"),
    table: given.get("table") === "1",
    goal: given.get("goal"),
    by: given.get("by"),
    group: listed(given.get("group")),
    spread: SPREADS.find((each) => each === given.get("band")) ?? SPREADS[0],
    ranks: choiceOf(given.get("ranks")),
    step: Number.isFinite(Number.parseFloat(given.get("step") ?? "")) ? Number(given.get("step")) : null,
    histograms: HISTOGRAMS.find((each) => each === given.get("hist")) ?? HISTOGRAMS[0],
    color: given.get("color"),
    colored: placesIn(listed(given.get("hues"))),
    settings: new Map(listed(given.get("set")).flatMap(settingsIn)),
    widths: new Map(listed(given.get("wide")).flatMap(widthIn)),
    stuck: listed(given.get("stick")),
  };
}

export const view = computed(() => viewOf(place.value.path, query.value));

/** Change what is shown; what is as it is at first does not stand in the address. */
export function show(change: Partial<Omit<View, "folder">>, options: { push?: boolean } = {}): void {
  setQuery(written(change), options);
}

export function written(change: Partial<Omit<View, "folder">>): Change {
  const next: Change = {};
  const set = (name: string, value: string | null): void => void (next[name] = value);
  if (change.filter !== undefined) set("q", change.filter);
  if (change.order !== undefined) set("sort", change.order === ORDER ? null : change.order);
  if (change.columns !== undefined) set("cols", change.columns && (joined(change.columns) || ","));
  if (change.shown !== undefined) set("show", change.shown === "first" ? null : change.shown);
  if (change.except !== undefined) set("but", joined(change.except));
  if (change.x !== undefined) set("x", change.x);
  if (change.smoothing !== undefined) set("smooth", change.smoothing ? String(change.smoothing) : null);
  if (change.log !== undefined) set("log", change.log ? "1" : null);
  if (change.logX !== undefined) set("logx", change.logX ? "1" : null);
  if (change.size !== undefined) set("size", change.size === SIZES[0] ? null : change.size);
  if (change.own !== undefined) set("own", joined(change.own.map(({ title, lines }) => [title, ...lines].map(escaped).join("~"))));
  if (change.find !== undefined) set("m", change.find);
  if (change.zoom !== undefined) set("zoom", joined([...change.zoom].map(([axis, range]) => [axis, ...shortened(range)].join("~"))));
  if (change.turned !== undefined) set("turn", joined(change.turned));
  if (change.pinned !== undefined) set("pin", joined(change.pinned));
  if (change.expanded !== undefined) set("chart", change.expanded);
  if (change.group !== undefined) set("group", joined(change.group));
  if (change.spread !== undefined) set("band", change.spread === SPREADS[0] ? null : change.spread);
  if (change.ranks !== undefined) set("ranks", change.ranks === null ? null : String(change.ranks));
  if (change.step !== undefined) set("step", change.step === null ? null : String(change.step));
  if (change.histograms !== undefined) set("hist", change.histograms === HISTOGRAMS[0] ? null : change.histograms);
  if (change.color !== undefined) set("color", change.color);
  if (change.colored !== undefined) set("hues", joined([...change.colored].map(([name, place]) => `${name}~${place}`)));
  if (change.goal !== undefined) set("goal", change.goal);
  if (change.by !== undefined) set("by", change.by);
  if (change.table !== undefined) set("table", change.table ? "1" : null);
  if (change.settings !== undefined) set("set", joined([...change.settings].map(([title, own]) => [title, ...partsOf(own)].map(escaped).join("~"))));
  if (change.widths !== undefined) set("wide", joined([...change.widths].map(([key, width]) => `${escaped(key)}~${width}`)));
  if (change.stuck !== undefined) set("stick", joined(change.stuck));
  return next;
}

/** Show a range of an axis, or all of it. */
export function zoomTo(axis: string, range: Range | null): void {
  const next = new Map(view.peek().zoom);
  if (range) next.set(axis, range);
  else next.delete(axis);
  show({ zoom: next });
}

/** Write a range: six digits more than its ends have in common are more than there are pixels. */
export function shortened([low, high]: Range): [string, string] {
  const alike = Math.log10(Math.max(Math.abs(low), Math.abs(high)) / (high - low));
  const digits = Math.min(17, Math.max(0, Math.ceil(alike)) + 6);
  return [low, high].map((value) => String(Number(value.toPrecision(digits)))) as [string, string];
}

function zooms(parts: readonly string[]): Map<string, Range> {
  const found = new Map<string, Range>();
  for (const part of parts) {
    const [high, low, ...axis] = part.split("~").reverse();
    const range: Range = [Number(low), Number(high)];
    // closer than two doubles can be there is nothing to show
    if (axis.length && range[0] < range[1]) found.set(axis.reverse().join("~"), range);
  }
  return found;
}

function placesIn(parts: readonly string[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const part of parts) {
    const at = part.lastIndexOf("~");
    const place = /^\d{1,2}$/.test(part.slice(at + 1)) ? Number(part.slice(at + 1)) : COLORS;
    if (at > 0 && place < COLORS) found.set(part.slice(0, at), place);
  }
  return found;
}

function ownOf(text: string): Own[] {
  const [title, ...lines] = text.split("~").map(unescaped);
  return title && lines.length ? [{ title, lines }] : [];
}

function settingsIn(text: string): [string, Settings][] {
  const [title, ...parts] = text.split("~").map(unescaped);
  const settings = settingsOf(parts);
  return title && partsOf(settings).length ? [[title, settings]] : [];
}

function widthIn(text: string): [string, number][] {
  const [key, width] = text.split("~");
  const pixels = Number(width);
  return key && pixels >= COLUMN_LEAST && pixels <= COLUMN_MAX ? [[unescaped(key), pixels]] : [];
}

/** A part between tildes: those in it are written as %7E, which is told apart from what was written so. */
function escaped(part: string): string {
  return part.replaceAll("%", "%25").replaceAll("~", "%7E");
}

function unescaped(part: string): string {
  return part.replaceAll("%7E", "~").replaceAll("%25", "%");
}

/** A list in one argument: commas in its parts are written as %2C. */
function joined(parts: Iterable<string>): string {
  return [...parts].map((part) => part.replaceAll("%", "%25").replaceAll(",", "%2C")).join(",");
}

function listed(text: string | null): string[] {
  return (text ?? "").split(",").filter(Boolean).map((part) => part.replaceAll("%2C", ",").replaceAll("%25", "%"));
}
