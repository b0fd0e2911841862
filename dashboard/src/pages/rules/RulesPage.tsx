/** Whom a server tells of what: the rules that may fire in a folder, for whoever may write there. */

import { Bell, BellRing, Pencil, Plus, Send, Trash2 } from "lucide-preact";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import type { Rule } from "../../api/types";
import { usePoll } from "../../state/poll";
import { mayWrite, session } from "../../state/session";
import { folderPath, query, rulesPath } from "../../state/url";
import { Empty, Link, Time } from "../../ui/basic";
import { Dialog } from "../../ui/Dialog";
import { several, whole } from "../../ui/format";
import { tell } from "../../ui/Notice";
import { plain } from "../../ui/terminal";
import { RuleForm } from "./RuleForm";
import { deleteRule, howOften, loadRules, tells, tryRule, waitsFor } from "./rules";

const AGAIN = 10_000;

interface Shown {
  folder: string;
  rules: Rule[];
  others: number;
}

export function RulesPage(): JSX.Element {
  const folder = (query.value.get("folder") ?? "").replace(/\/+$/, "");
  useEffect(() => {
    document.title = "Rules · ML-Dash";
  }, []);
  return (
    <div class="rules-page">
      <nav class="crumbs" aria-label="Folder">
        <Link href={folderPath(folder)}>{folder ? plain(folder) : "All experiments"}</Link>
      </nav>
      {session.value?.mode === "local" ? <NeedsServer /> : isAllowed(folder) ? <RuleList key={folder} folder={folder} /> : <NotForReaders folder={folder} />}
    </div>
  );
}

function isAllowed(folder: string): boolean {
  return folder ? mayWrite(folder.split("/")[0]!) : (session.value?.writes.length ?? 0) > 0;
}

/** A root has nobody who watches it while no page is open. */
function NeedsServer(): JSX.Element {
  return (
    <Empty
      title="Rules live at a server, which watches runs when nobody looks. This is a directory on this machine."
      code={'ml-dash server            # on a machine that stays on\nml-dash sync --to URL     # what is here\nml-dash rule add --failed --mail me@example.org --url URL'}
    >
      <p class="muted">What scripts say by exp.alert is shown here all the same: on each run, in Alerts.</p>
    </Empty>
  );
}

function NotForReaders({ folder }: { folder: string }): JSX.Element {
  const owner = folder.split("/")[0];
  return (
    <Empty title={`Rules${owner ? ` of ${plain(owner)}` : ""} are for those who may write ${owner ? "its" : "some"} experiments.`}>
      <p class="muted">Sign in with a token that has the scope write{owner ? ` on ${plain(owner)}` : ""}.</p>
    </Empty>
  );
}

function RuleList({ folder }: { folder: string }): JSX.Element {
  const [shown, setShown] = useState<Shown | null>(null);
  const [problem, setProblem] = useState("");
  const [turn, setTurn] = useState(0);
  const [form, setForm] = useState<Rule | "new" | null>(null);
  const [doomed, setDoomed] = useState<Rule | null>(null);
  const again = (): void => setTurn((before) => before + 1);
  usePoll(
    async (signal) => {
      try {
        setShown({ folder, ...(await loadRules(folder, signal)) });
        setProblem("");
      } catch (error) {
        if (!signal.aborted) setProblem((error as Error).message);
        throw error;
      }
    },
    AGAIN,
    [folder, turn],
  );

  function done(rule: Rule): void {
    const isNew = form === "new";
    setForm(null);
    again();
    tell({ text: `The rule ${plain(rule.name)} is ${isNew ? "made: “Send a test” shows whether its messages arrive" : "changed"}.` });
  }

  async function discard(rule: Rule): Promise<void> {
    setDoomed(null);
    try {
      await deleteRule(rule.id);
      tell({ text: `The rule ${plain(rule.name)} is deleted.` });
    } catch (error) {
      tell({ text: (error as Error).message, isProblem: true });
    }
    again();
  }

  if (!shown) return problem ? <p class="problem">{problem}</p> : <p class="loading">Loading…</p>;
  const { rules, others } = shown;
  return (
    <>
      <div class="section-head rules-head">
        <h1>Rules of alerts</h1>
        <button type="button" class="primary" onClick={() => setForm("new")}>
          <Plus /> New rule
        </button>
      </div>
      <p class="muted" role="status">
        {rules.length ? several(rules.length, "rule") : "No rule"} {folder ? "may fire in this folder" : "of the owners whose experiments you may write"}.
        {others > 0 && (
          <>
            {" "}
            <Link href={rulesPath(folder.split("/")[0]!)}>{several(others, "other rule")} of {plain(folder.split("/")[0]!)}</Link>
          </>
        )}
      </p>
      {problem && <p class="problem">{problem}</p>}
      {rules.length === 0 ? (
        <Empty title="Nobody is told yet when a run fails, falls silent, or logs a NaN.">
          <button type="button" onClick={() => setForm("new")}>
            Make the first rule
          </button>
        </Empty>
      ) : (
        <ul class="rules">
          {rules.map((rule) => (
            <RuleCard key={rule.id} rule={rule} showOwner={!folder} onChange={() => setForm(rule)} onDelete={() => setDoomed(rule)} onTried={again} />
          ))}
        </ul>
      )}
      {form && <RuleForm folder={folder} rule={form === "new" ? null : form} onDone={done} onClose={() => setForm(null)} />}
      {doomed && (
        <Dialog title="Delete a rule" onClose={() => setDoomed(null)}>
          <p>
            {plain(doomed.name)} tells nobody any more, nor what it has not told yet. Its address is known to the server alone, so this cannot be undone:
            it would have to be made anew.
          </p>
          <p class="dialog-end">
            <button type="button" autofocus onClick={() => setDoomed(null)}>
              Cancel
            </button>
            <button type="button" class="danger" onClick={() => void discard(doomed)}>
              Delete the rule
            </button>
          </p>
        </Dialog>
      )}
    </>
  );
}

function RuleCard(props: { rule: Rule; showOwner: boolean; onChange: () => void; onDelete: () => void; onTried: () => void }): JSX.Element {
  const { rule } = props;
  const [tried, setTried] = useState<"busy" | "arrived" | string | null>(null);
  const name = plain(rule.name);

  async function attempt(): Promise<void> {
    setTried("busy");
    try {
      const problem = await tryRule(rule.id);
      setTried(problem === null ? "arrived" : `The test did not arrive: ${problem}`);
    } catch (error) {
      setTried((error as Error).message);
    }
    props.onTried();
  }

  return (
    <li class="card rule">
      <div class="rule-top">
        <h2>
          {rule.problem ? <BellRing class="rule-bad" /> : <Bell />} {name}
        </h2>
        <div class="rule-tools">
          <button type="button" disabled={tried === "busy"} aria-label={`Send a test of ${name}`} onClick={() => void attempt()}>
            <Send /> {tried === "busy" ? "Sending…" : "Send a test"}
          </button>
          <button type="button" aria-label={`Change ${name}`} onClick={props.onChange}>
            <Pencil /> Change
          </button>
          <button type="button" class="danger" aria-label={`Delete ${name}`} onClick={props.onDelete}>
            <Trash2 /> Delete
          </button>
        </div>
      </div>
      <dl class="rule-says">
        <dt>Waits for</dt>
        <dd>
          {plain(waitsFor(rule))}
          {howOften(rule) && <span class="muted">, {howOften(rule)}</span>}
        </dd>
        <dt>In</dt>
        <dd>{rule.filter ? <code>{plain(rule.filter)}</code> : <span>all of {plain(rule.owner)}</span>}{props.showOwner && rule.filter && <span class="muted"> of {plain(rule.owner)}</span>}</dd>
        <dt>Tells</dt>
        <dd>{plain(tells(rule))}</dd>
        <dt>Fired</dt>
        <dd>
          {rule.lastFiredAt ? (
            <>
              <Time at={rule.lastFiredAt} />, {whole(rule.fired)}× in the last month
            </>
          ) : (
            "not yet"
          )}
          {rule.lastDeliveredAt && (
            <span class="muted">
              , taken <Time at={rule.lastDeliveredAt} />
            </span>
          )}
        </dd>
      </dl>
      {rule.problem && <p class="problem">{rule.problem.startsWith("the filter") ? "" : "Not delivered: "}{plain(rule.problem)}</p>}
      {tried === "arrived" && (
        <p class="rule-arrived" role="status">
          The test has arrived.
        </p>
      )}
      {tried && tried !== "busy" && tried !== "arrived" && (
        <p class="problem" role="alert">
          {plain(tried)}
        </p>
      )}
      <p class="muted rule-who">
        Made <Time at={rule.createdAt} /> by {plain(rule.who)}
        {rule.changedAt && (
          <>
            , changed <Time at={rule.changedAt} /> by {plain(rule.changedBy ?? "–")}
          </>
        )}
      </p>
    </li>
  );
}
