/** What may come next in a filter. */

import { encode } from "../../api/json";
import type { ListedExperiment, MetricFields } from "../../api/types";
import { metricTitle, quoted } from "./columns";

export interface Completion {
  /** What stands in the field once it is taken. */
  text: string;
  /** Where the caret is then. */
  caret: number;
  label: string;
  /** What it is: "parameter", "metric", and so on. */
  kind: string;
}

export interface Known {
  params: ReadonlyMap<string, readonly string[]>;
  metrics: readonly MetricFields[];
  tags: readonly string[];
}

const LISTED = 8;
/** Values of a parameter that are offered. */
const VALUES_MAX = 50;
const RECORD: readonly (readonly [string, string])[] = [
  ["status:", "status"],
  ["tag:", "tag"],
  ["name:", "name"],
  ["started>", "when it began"],
  ["duration>", "90s, 10min, 2h"],
  ["host:", "host"],
  ["note:", "text of the note"],
  ["readme:", "text of the readme"],
];
/** What can be asked of a metric's values. */
const FUNCTIONS = ["last", "first", "min", "max", "mean", "count", "best"];
const STANDINGS = ["running", "completed", "failed", "cancelled", "stale", '"not started"'];
/** The part at the caret: a name, an operator, and as much of a value as there is. */
const PART = /(?:"(?:\\.|[^"\\])*"?|\w+\("(?:\\.|[^"\\])*"?\)?|[^\s"])*$/;
const COMPARED = /^(.+?)(!=|<=|>=|[:=<>])(.*)$/s;

/** The names in a folder's runs, also in those that an unfinished filter leaves out while somebody types it. */
export class KnownNames {
  private folder: string | null = null;
  private params = new Map<string, Set<string>>();
  private tags = new Set<string>();
  private metrics = new Map<string | null, Set<string>>();

  /** Return all that is known, with what is in these runs and metrics; what is in other folders is forgotten. */
  learn(folder: string, runs: readonly ListedExperiment[], metrics: readonly MetricFields[]): Known {
    if (folder !== this.folder) [this.folder, this.params, this.tags, this.metrics] = [folder, new Map(), new Set(), new Map()];
    for (const run of runs) {
      for (const tag of run.tags) this.tags.add(tag);
      for (const [name, value] of Object.entries(run.params ?? {})) {
        const values = entry(this.params, name);
        if (values.size < VALUES_MAX) values.add(written(value));
      }
    }
    for (const { name, fields } of metrics) for (const field of fields) entry(this.metrics, name).add(field);
    return {
      params: new Map([...this.params].map(([name, values]) => [name, [...values]])),
      metrics: [...this.metrics].map(([name, fields]) => ({ name, fields: [...fields] })),
      tags: [...this.tags].sort(),
    };
  }
}

function entry<K>(all: Map<K, Set<string>>, key: K): Set<string> {
  const found = all.get(key) ?? new Set();
  all.set(key, found);
  return found;
}

/** How a value stands in a filter. */
function written(value: unknown): string {
  return typeof value === "string" && /^[\w.+-]+$/.test(value) ? value : encode(value);
}

/** Return what the part that ends at the caret may become. */
export function completions(text: string, caret: number, known: Known): Completion[] {
  const before = text.slice(0, caret);
  const part = PART.exec(before)?.[0] ?? "";
  const start = caret - part.length;
  const compared = COMPARED.exec(part);
  const found = compared ? valuesOf(compared, known) : namesOf(part, known);
  return found
    .filter(([said]) => said !== part)
    .slice(0, LISTED)
    .map(([said, kind]) => ({
      text: text.slice(0, start) + said + text.slice(caret),
      caret: start + said.length,
      label: said,
      kind,
    }));
}

type Found = (readonly [string, string])[];

function namesOf(part: string, { params, metrics }: Known): Found {
  const called = /^(\w+)\(["']?(.*?)["']?\)?$/s.exec(part);
  const wanted = (called ? called[2]! : part).toLowerCase().replace(/^"/, "");
  const titles = metrics.flatMap(({ name, fields }) => fields.map((field) => metricTitle({ name, field })));
  if (called) {
    if (!FUNCTIONS.includes(called[1]!.toLowerCase())) return [];
    return ranked(titles, wanted).map((title) => [`${called[1]}(${quoted(title)})`, "metric"]);
  }
  // the caret stays between the parentheses, where the metrics are offered next
  const functions = part.length > 1 && titles.length ? FUNCTIONS.filter((each) => each.startsWith(wanted)) : [];
  return [
    ...functions.map((each) => [`${each}(`, "of a metric’s values"] as const),
    ...RECORD.filter(([name]) => part && name.startsWith(wanted)),
    ...ranked([...params.keys()], wanted.replace(/^params\./, "")).map((name) => [quoted(`params.${name}`), "parameter"] as const),
    ...ranked(titles, wanted.replace(/^metrics\./, "")).map((title) => [quoted(title), "last value"] as const),
    ...(part ? ranked(titles, wanted).flatMap((title) => [[`max(${quoted(title)})`, "highest"] as const, [`min(${quoted(title)})`, "lowest"] as const]) : []),
    ...(part ? [] : RECORD.slice(0, 3)),
  ];
}

function valuesOf([, name, operator, value]: RegExpExecArray, { params, tags }: Known): Found {
  const plain = name!.toLowerCase();
  const isChoice = operator === ":" || operator === "=" || operator === "!=";
  const fitting = (all: readonly string[], kind: string): Found =>
    ranked(all, value!.toLowerCase().replace(/^"/, "")).map((each) => [`${name}${operator}${each}`, kind] as const);
  if (plain === "status" && isChoice) return fitting(STANDINGS, "status");
  if ((plain === "tag" || plain === "tags") && isChoice) return fitting(tags.map(quoted), "tag");
  const param = params.get(name!.replace(/^"|"$/g, "").replace(/^params\./, ""));
  return param ? fitting(param, "value") : [];
}

/** Those that begin with it first, then those that have it in them. */
function ranked(all: readonly string[], wanted: string): string[] {
  const lower = all.map((each) => [each, each.toLowerCase()] as const);
  const begins = lower.filter(([, each]) => each.startsWith(wanted));
  const has = wanted ? lower.filter(([, each]) => !each.startsWith(wanted) && each.includes(wanted)) : [];
  return [...begins, ...has].slice(0, LISTED).map(([each]) => each);
}
