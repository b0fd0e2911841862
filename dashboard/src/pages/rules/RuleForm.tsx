/** A form in which a rule is made or changed; what is wrong stands at its field. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import { ApiError } from "../../api/client";
import type { Rule } from "../../api/types";
import { session } from "../../state/session";
import { Dialog } from "../../ui/Dialog";
import { plain } from "../../ui/terminal";
import { MetricInput } from "./MetricInput";
import {
  begunRule,
  changeRule,
  type Draft,
  draftOf,
  emptyDraft,
  FIELDS,
  folderOf,
  keepBegun,
  KINDS,
  loadRules,
  makeRule,
  type Problems,
  problemsOf,
  problemsOfError,
  tells,
  waitsFor,
  WHENS,
} from "./rules";

interface Props {
  /** The folder for which a new one is made. */
  folder: string;
  /** What is changed; null makes a new one. */
  rule: Rule | null;
  onDone: (rule: Rule) => void;
  onClose: () => void;
}

export function RuleForm({ folder, rule, onDone, onClose }: Props): JSX.Element {
  const [draft, setDraft] = useState<Draft>(() => ({
    ...(rule ? draftOf(rule) : emptyDraft(folder, folder.split("/")[0] || ownOwner())),
    ...begunRule(folder, rule),
  }));
  const [base, setBase] = useState(rule);
  const [problems, setProblems] = useState<Problems>({});
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const has = (field: keyof Draft): boolean => FIELDS[draft.when].includes(field);
  const set = (change: Partial<Draft>): void => {
    const next = { ...draft, ...change };
    setDraft(next);
    keepBegun(folder, rule, next);
    setProblems(Object.fromEntries(Object.entries(problems).filter(([field]) => !(field in change))));
  };
  useEffect(() => {
    // to what is wrong first
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [problems]);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy) return;
    const wrong = problemsOf(draft);
    setProblems(wrong);
    if (Object.keys(wrong).length) return;
    setBusy(true);
    try {
      const done = base ? await changeRule(base.id, base.version, draft) : await makeRule(draft);
      keepBegun(folder, rule, null);
      onDone(done);
      return;
    } catch (error) {
      setProblems(error instanceof ApiError && error.code === "changed" ? await conflict() : problemsOfError(error));
    }
    setBusy(false);
  }

  /** Take what somebody else has made of it as what is changed next; what was typed stays. */
  async function conflict(): Promise<Problems> {
    const now = (await loadRules(draft.owner)).rules.find((each) => each.id === base?.id);
    if (!now) return { "": "Somebody has deleted this rule meanwhile: make it as a new one." };
    setBase(now);
    const by = now.changedBy ? plain(now.changedBy) : "Somebody";
    return {
      "": `${by} has changed this rule meanwhile. It is called ${plain(now.name)} now, waits for ${plain(waitsFor(now))}${
        now.filter ? ` in ${plain(now.filter)}` : ""
      }, and tells ${plain(tells(now))}. Save once more to have it as you have it here.`,
    };
  }

  const text = (field: keyof Draft, more: JSX.InputHTMLAttributes<HTMLInputElement> = {}) => (at: FieldIds) => (
    <input
      {...at}
      value={String(draft[field])}
      spellcheck={false}
      autocomplete="off"
      onInput={(event) => set({ [field]: event.currentTarget.value })}
      {...more}
    />
  );
  const choice = (field: keyof Draft, options: readonly (readonly [string, string])[]) => (at: FieldIds) => (
    <select {...at} value={String(draft[field])} onChange={(event) => set({ [field]: event.currentTarget.value })}>
      {options.map(([value, name]) => (
        <option key={value} value={value}>
          {name}
        </option>
      ))}
    </select>
  );

  return (
    <Dialog title={rule ? "Change a rule" : "New rule"} onClose={onClose}>
      <form ref={form} class="rule-form" noValidate onSubmit={(event) => void submit(event)}>
        {!rule && !folder && <Field label="Owner" hint="The first part of prefixes: whose experiments." problem={problems.owner}>{text("owner")}</Field>}
        <Field label="When" problem={problems.when}>{choice("when", WHENS)}</Field>
        <div class="rule-row">
          {has("metric") && (
            <Field label={draft.when === "nonfinite" ? "Value (all, if empty)" : "Value"} problem={problems.metric}>
              {(at) => <MetricInput at={at} value={draft.metric} folder={folderOf(draft)} onInput={(metric) => set({ metric })} />}
            </Field>
          )}
          {has("bound") && <Field label={draft.when === "above" ? "Above" : "Below"} problem={problems.bound}>{text("bound", { inputMode: "decimal" })}</Field>}
          {has("minutes") && <Field label="For how many minutes" problem={problems.minutes}>{text("minutes", { inputMode: "decimal" })}</Field>}
          {has("level") && <Field label="Level, or above" problem={problems.level}>{choice("level", LEVELS)}</Field>}
          {has("rearmMinutes") && (
            <Field label="Again after minutes" hint="Empty: once an attempt." problem={problems.rearmMinutes}>
              {text("rearmMinutes", { inputMode: "decimal" })}
            </Field>
          )}
        </div>
        <Field label="In which runs" hint={`A filter, as of the list; empty: all of ${plain(draft.owner) || "the owner"}.`} problem={problems.filter}>
          {text("filter", { placeholder: "alice/vision/** tag:sweep lr<0.01" })}
        </Field>
        {base && draft.keepsTo ? (
          <div class="rule-kept">
            <span>
              Tells {plain(tells(base))}
            </span>
            <button type="button" onClick={() => set({ keepsTo: false })}>
              Tell another one…
            </button>
          </div>
        ) : (
          <>
            <div class="rule-row">
              <Field label="Tell" problem={problems.kind}>{choice("kind", KINDS)}</Field>
              {draft.kind === "mail" ? (
                <Field label="Address" problem={problems.address}>{text("address", { type: "email", placeholder: "alice@example.org" })}</Field>
              ) : (
                <Field label="URL" problem={problems.url}>{text("url", { placeholder: PLACES[draft.kind] })}</Field>
              )}
            </div>
            {draft.kind === "webhook" && (
              <Field label="Secret, if messages are to be signed" problem={problems.secret}>{text("secret", { type: "password", autocomplete: "new-password" })}</Field>
            )}
            <p class="muted">The server keeps the address, and shows of a URL only the host from now on.</p>
          </>
        )}
        <Field label="Name" problem={problems.name}>{text("name", { placeholder: waitsFor(shownTerms(draft)) })}</Field>
        {problems[""] && (
          <p class="problem" role="alert">
            {problems[""]}
          </p>
        )}
        <p class="dialog-end">
          <button type="button" onClick={() => (keepBegun(folder, rule, null), onClose())}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {rule ? "Save" : "Make the rule"}
          </button>
        </p>
      </form>
    </Dialog>
  );
}

const LEVELS = [
  ["info", "info"],
  ["warning", "warning"],
  ["error", "error"],
] as const;
const PLACES = { webhook: "https://hooks.example.org/alice", slack: "https://hooks.slack.com/services/…" };

/** The owner of whom rules are made where none is named, if there is only one. */
function ownOwner(): string {
  const writes = session.value?.writes ?? [];
  return writes.length === 1 && writes[0] !== "*" ? writes[0]! : "";
}

function shownTerms(draft: Draft): Parameters<typeof waitsFor>[0] {
  return {
    when: draft.when,
    metric: draft.metric || (draft.when === "nonfinite" ? null : "…"),
    bound: Number(draft.bound) || 0,
    minutes: Number(draft.minutes) || 0,
    level: draft.level as Rule["level"],
  };
}

interface FieldIds {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby": string | undefined;
}

function Field(props: { label: string; hint?: string; problem: string | undefined; children: (at: FieldIds) => ComponentChildren }): JSX.Element {
  const id = useId();
  const isDescribed = props.problem ?? props.hint;
  return (
    <div class="rule-field">
      <label for={id}>{props.label}</label>
      {props.children({ id, "aria-invalid": props.problem !== undefined, "aria-describedby": isDescribed ? `${id}-more` : undefined })}
      {isDescribed && (
        <span id={`${id}-more`} class={props.problem ? "rule-wrong" : "muted"}>
          {isDescribed}
        </span>
      )}
    </div>
  );
}
