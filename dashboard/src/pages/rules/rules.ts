/** Rules of alerts: what a server waits for, and whom it tells; in words, and as a form has them. */

import { ApiError, get, post, put, remove } from "../../api/client";
import type { ChangedRule, NewRule, Rule, Rules, TestedRule } from "../../api/types";
import { keep, keptOf } from "../../state/drafts";
import { several } from "../../ui/format";

export type When = Rule["when"];
export type Kind = Rule["to"]["kind"];

export const WHENS: readonly (readonly [When, string])[] = [
  ["failed", "a run has failed"],
  ["silent", "a run has fallen silent"],
  ["above", "a value is above a bound"],
  ["below", "a value is below a bound"],
  ["nonfinite", "a value is NaN or infinite"],
  ["alert", "a script calls exp.alert"],
];

export const KINDS: readonly (readonly [Kind, string])[] = [
  ["webhook", "a webhook"],
  ["slack", "Slack"],
  ["mail", "somebody by mail"],
];

/** What a form holds: texts, as they were typed. */
export interface Draft {
  name: string;
  owner: string;
  when: When;
  metric: string;
  bound: string;
  minutes: string;
  level: string;
  rearmMinutes: string;
  filter: string;
  kind: Kind;
  url: string;
  address: string;
  secret: string;
  /** Whether whom it tells stays, of a rule that there is: its address is shown to nobody. */
  keepsTo: boolean;
}

/** What is wrong with a draft, by the field of the form; "" is the whole. */
export type Problems = Partial<Record<keyof Draft | "", string>>;

/** The fields of a form that a kind of rule has, besides those that all have. */
export const FIELDS: Record<When, readonly (keyof Draft)[]> = {
  failed: [],
  silent: ["minutes"],
  above: ["metric", "bound", "rearmMinutes"],
  below: ["metric", "bound", "rearmMinutes"],
  nonfinite: ["metric", "rearmMinutes"],
  alert: ["level"],
};

export function emptyDraft(folder: string, owner: string): Draft {
  return {
    name: "",
    owner,
    when: "failed",
    metric: "",
    bound: "",
    minutes: "30",
    level: "warning",
    rearmMinutes: "",
    // of an owner's own folder, all are meant anyway
    filter: folder.includes("/") ? `${quoted(folder)}/**` : "",
    kind: "webhook",
    url: "",
    address: "",
    secret: "",
    keepsTo: false,
  };
}

/** A folder as a pattern has it: what is a star there is any character here, and the filter's own marks are in quotes. */
function quoted(folder: string): string {
  return folder.replace(/[*?[\s"'()<>=!:,&|]/g, "?");
}

/** The folder that a rule is for, as far as its filter tells: that of its first pattern, else its owner. */
export function folderOf({ filter, owner }: Pick<Draft, "filter" | "owner">): string {
  const own = owner.trim();
  const pattern = filter.split(/\s+/).find((part) => own && part.startsWith(`${own}/`) && !/[<>=!:,"'()]/.test(part));
  const names = pattern?.split("/") ?? [];
  const end = names.findIndex((name) => /[*?[]/.test(name));
  return names.slice(0, end < 0 ? -1 : end).join("/") || own;
}

export function draftOf(rule: Rule): Draft {
  const text = (value: number | null): string => (value === null ? "" : String(value));
  return {
    ...emptyDraft("", rule.owner),
    name: rule.name,
    when: rule.when,
    metric: rule.metric ?? "",
    bound: text(rule.bound),
    minutes: text(rule.minutes),
    level: rule.level ?? "warning",
    rearmMinutes: text(rule.rearmMinutes),
    filter: rule.filter,
    kind: rule.to.kind,
    keepsTo: true,
  };
}

/** What of a form is kept while it is closed: what is a secret, or holds one as the address of a webhook does, is typed again. */
const NOT_KEPT = { url: "", secret: "" };

interface Begun {
  /** The version that was changed: of one that is another rule by now, nothing is taken. */
  version: number | null;
  draft: Draft;
}

/** Keep what somebody has typed in a form; null forgets it. */
export function keepBegun(folder: string, rule: Rule | null, draft: Draft | null): void {
  const begun: Begun | null = draft && { version: rule?.version ?? null, draft: { ...draft, ...NOT_KEPT } };
  keep(formOf(folder, rule), begun);
}

/** What was typed in a form before it was closed without being put away. */
export function begunRule(folder: string, rule: Rule | null): Partial<Draft> {
  const begun = keptOf<Begun>(formOf(folder, rule));
  return begun && begun.version === (rule?.version ?? null) ? begun.draft : {};
}

function formOf(folder: string, rule: Rule | null): string {
  return rule ? `rule ${rule.id}` : `rule in ${folder}`;
}

/** What is wrong with a draft, as far as that is seen without the server. */
export function problemsOf(draft: Draft): Problems {
  const found: Problems = {};
  const has = (field: keyof Draft): boolean => FIELDS[draft.when].includes(field);
  if (!draft.owner.trim()) found.owner = "Whose experiments? The first part of their prefixes.";
  if (has("metric") && !draft.metric.trim() && draft.when !== "nonfinite") found.metric = "Which value, such as val/loss?";
  for (const field of ["bound", "minutes", "rearmMinutes"] as const) {
    const text = draft[field].trim();
    if (!has(field) || (field === "rearmMinutes" && !text)) continue;
    if (!text || !Number.isFinite(Number(text))) found[field] = "Give a number.";
    else if (field !== "bound" && Number(text) < 1) found[field] = "Give 1 minute or more.";
  }
  if (!draft.keepsTo) {
    if (draft.kind === "mail" && !draft.address.trim()) found.address = "To which address?";
    if (draft.kind !== "mail" && !draft.url.trim()) found.url = "To which URL?";
    if (draft.kind === "webhook" && draft.secret && draft.secret.length < 8) found.secret = "A secret has 8 characters or more.";
  }
  return found;
}

/** What a server says against a draft, at the field that it names. */
export function problemsOfError(error: unknown): Problems {
  if (!(error instanceof ApiError)) return { "": (error as Error).message };
  if (error.problems.length) return { filter: error.problems.map((each) => each.message).join("; ") };
  const named = error.field?.replace(/^to\./, "") ?? "";
  const field = named === "to" ? "url" : named;
  return { [field in emptyDraft("", "") ? field : ""]: error.remedy ?? error.message };
}

type Terms = Omit<ChangedRule, "to">;

function termsOf(draft: Draft): Terms {
  const has = (field: keyof Draft): boolean => FIELDS[draft.when].includes(field);
  const number = (text: string): number | null => (text.trim() ? Number(text) : null);
  const terms = {
    when: draft.when,
    filter: draft.filter.trim(),
    metric: has("metric") ? draft.metric.trim() || null : null,
    bound: has("bound") ? number(draft.bound) : null,
    minutes: has("minutes") ? number(draft.minutes) : null,
    level: has("level") ? (draft.level as Rule["level"]) : null,
    rearmMinutes: has("rearmMinutes") ? number(draft.rearmMinutes) : null,
  };
  return { ...terms, name: (draft.name.trim() || waitsFor(terms)).slice(0, NAME_MAX) };
}
const NAME_MAX = 200;

function toOf(draft: Draft): NewRule["to"] {
  if (draft.kind === "mail") return { kind: "mail", address: draft.address.trim() };
  const secret = draft.kind === "webhook" && draft.secret ? { secret: draft.secret } : {};
  return { kind: draft.kind, url: draft.url.trim(), ...secret };
}

export function makeRule(draft: Draft): Promise<Rule> {
  return post<Rule>("rules", { ...termsOf(draft), owner: draft.owner.trim(), to: toOf(draft) });
}

/** Change a rule; ApiError "changed" where it is of another version by now. */
export function changeRule(id: string, version: number, draft: Draft): Promise<Rule> {
  const to = draft.keepsTo ? {} : { to: toOf(draft) };
  return put<Rule>(`rules/${id}`, { ...termsOf(draft), ...to }, { headers: { "If-Match": `"${version}"` } });
}

export async function deleteRule(id: string): Promise<void> {
  await remove(`rules/${id}`);
}

/** Have a message sent that says that it is a test; return why it was not taken, or null. */
export async function tryRule(id: string): Promise<string | null> {
  return (await post<TestedRule>(`rules/${id}/test`, {})).problem;
}

/** The rules that may fire in a folder, and how many others its owner has; without a folder all that one may write. */
export async function loadRules(folder: string, signal?: AbortSignal): Promise<{ rules: Rule[]; others: number }> {
  const rules = (await get<Rules>("rules", { folder: folder || null }, signal)).data;
  if (!folder.includes("/")) return { rules, others: 0 };
  const all = (await get<Rules>("rules", { owner: folder.split("/")[0] }, signal)).data;
  return { rules, others: Math.max(0, all.length - rules.length) };
}

/** What a rule waits for. */
export function waitsFor(rule: Pick<Terms, "when" | "metric" | "bound" | "minutes" | "level">): string {
  switch (rule.when) {
    case "above":
      return `${rule.metric} > ${rule.bound}`;
    case "below":
      return `${rule.metric} < ${rule.bound}`;
    case "nonfinite":
      return rule.metric ? `NaN or infinity in ${rule.metric}` : "NaN or infinity in any value";
    case "silent":
      return `silent for ${several(rule.minutes ?? 0, "minute")}`;
    case "alert":
      return `alerts of level ${rule.level ?? "info"} or above`;
    default:
      return "failed runs";
  }
}

/** How often it may tell of one attempt, where that depends. */
export function howOften(rule: Pick<Rule, "when" | "rearmMinutes">): string | null {
  if (!FIELDS[rule.when].includes("rearmMinutes")) return null;
  return rule.rearmMinutes === null ? "once an attempt" : `again after ${several(rule.rearmMinutes, "minute")}`;
}

/** Whom a rule tells, as far as that is shown. */
export function tells({ to }: Pick<Rule, "to">): string {
  const name = { webhook: "webhook", slack: "Slack", mail: "mail" }[to.kind];
  return `${name} ${to.shown}${to.signed ? ", signed" : ""}`;
}
