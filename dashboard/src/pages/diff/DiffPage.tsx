/** In what runs differ: parameters, results, surroundings and code, each held against one of them. */

import type { JSX } from "preact";
import { Fragment } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";

import type { ListedExperiment } from "../../api/types";
import { experimentPath, query, setQuery } from "../../state/url";
import { Empty, Link, SearchField, Status, Toggle } from "../../ui/basic";
import { rounded, several, text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { DiffText } from "../experiment/overview/DiffText";
import { mapOf } from "../experiment/overview/values";
import { AddRun } from "./AddRun";
import { type DiffCell, type DiffRow, diffRows, resultRows, surroundingsOf, uncommittedOf } from "./diff";
import { shortNames } from "./names";
import { type DiffRun, useDiffRuns } from "./runs";

const ROWS_MAX = 500;
/** Of results: all of them are told at the cursor. */
const DIGITS = 6;
const RUNS_MAX = 24;

interface Part {
  title: string;
  rows: DiffRow[];
}

export function DiffPage(): JSX.Element {
  const given = [...new Set(query.value.getAll("e"))];
  const prefixes = given.slice(0, RUNS_MAX);
  const { runs, missing, loaded } = useDiffRuns(prefixes);
  const [search, setSearch] = useState("");
  const baseline = Math.max(0, runs.findIndex(({ record }) => record.prefix === query.value.get("base")));
  const onlyDifferent = query.value.get("same") === null && runs.length > 1;
  const parts = useMemo(() => partsOf(runs, baseline), [runs, baseline]);
  useEffect(() => {
    document.title = "Differences · ML-Dash";
  }, []);
  const alike = onlyDifferent ? parts.filter((part) => !part.rows.some((row) => row.differs)) : [];
  const shown = parts.filter((part) => !alike.includes(part));
  const add = (record: ListedExperiment): void => setQuery({ e: [...prefixes, record.prefix] });
  const leave = (prefix: string): void => setQuery({ e: given.filter((each) => each !== prefix) });
  if (prefixes.length && !loaded) return <p class="loading">Loading…</p>;
  return (
    <div class="diff-page">
      <div class="section-head">
        <h1>Differences of {several(runs.length, "run")}</h1>
        {prefixes.length < RUNS_MAX && <AddRun known={prefixes} onAdd={add} />}
      </div>
      {given.length > RUNS_MAX && (
        <p class="note" role="status">
          The first {RUNS_MAX} of {several(given.length, "run")} side by side: what is removed makes room for the next.
        </p>
      )}
      {missing.map((prefix) => (
        <p key={prefix} class="problem">
          Experiment {prefix} does not exist, or you do not have access to it.{" "}
          <button type="button" class="quiet" onClick={() => leave(prefix)}>
            Remove
          </button>
        </p>
      ))}
      {!runs.length && <Empty title="Choose runs: find them by their names above." />}
      {runs.length > 0 && (
        <>
          <div class="controls">
            <SearchField main label="Find names" value={search} onInput={setSearch} />
            {runs.length > 1 && (
              <Toggle
                label="only differences"
                value={onlyDifferent}
                onChange={(only) => setQuery({ same: only ? null : "1" })}
              />
            )}
          </div>
          <div class="card scroll-x" tabIndex={0} role="region" aria-label="Differences of the runs">
            <table class="diff-table">
              <DiffHead runs={runs} baseline={baseline} onLeave={leave} />
              {shown.map((part) => (
                <DiffPart key={part.title} part={part} search={search} onlyDifferent={onlyDifferent} columns={runs.length} />
              ))}
            </table>
            {alike.length > 0 && <p class="muted">No differences: {alike.map((part) => part.title.toLowerCase()).join(", ")}.</p>}
          </div>
          <Uncommitted runs={runs} baseline={baseline} />
        </>
      )}
    </div>
  );
}

function DiffHead(props: { runs: readonly DiffRun[]; baseline: number; onLeave: (prefix: string) => void }): JSX.Element {
  const labels = shortNames(props.runs.map(({ record }) => record.prefix));
  return (
    <thead>
      <tr>
        <td />
        {props.runs.map(({ record }, at) => (
          <th key={record.id} scope="col" class={at === props.baseline ? "baseline" : ""}>
            <div class="diff-name">
              <Link href={experimentPath(record.prefix)}>{plain(labels[at]!)}</Link>
              <button
                type="button"
                class="quiet"
                aria-label={`Remove ${record.prefix}`}
                onClick={() => props.onLeave(record.prefix)}
              >
                ×
              </button>
            </div>
            <Status of={record} />
            {props.runs.length > 1 && (
              <label class="toggle muted">
                <input
                  type="radio"
                  name="baseline"
                  checked={at === props.baseline}
                  onChange={() => setQuery({ base: record.prefix })}
                />
                baseline
              </label>
            )}
          </th>
        ))}
      </tr>
    </thead>
  );
}

function DiffPart(props: { part: Part; search: string; onlyDifferent: boolean; columns: number }): JSX.Element {
  const { part } = props;
  const [all, setAll] = useState(false);
  const words = props.search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = part.rows.filter((row) => words.every((word) => row.name.toLowerCase().includes(word)));
  const shown = props.onlyDifferent ? found.filter((row) => row.differs) : found;
  const few = all ? shown : shown.slice(0, ROWS_MAX);
  return (
    <tbody aria-label={part.title}>
      <tr class="diff-part">
        <th scope="rowgroup" colSpan={props.columns + 1}>
          {part.title}{" "}
          <span class="count">
            {shown.length === part.rows.length ? whole(shown.length) : `${whole(shown.length)} of ${whole(part.rows.length)}`}
          </span>
        </th>
      </tr>
      {few.map((row) => (
        <tr key={row.name}>
          <th scope="row">{plain(row.name)}</th>
          {row.cells.map((cell, at) => (
            <Cell key={at} of={cell} />
          ))}
        </tr>
      ))}
      {few.length < shown.length && (
        <tr>
          <td colSpan={props.columns + 1}>
            <button type="button" class="quiet" onClick={() => setAll(true)}>
              and {whole(shown.length - few.length)} more
            </button>
          </td>
        </tr>
      )}
    </tbody>
  );
}

function Cell({ of: { value, step, differs, change, better } }: { of: DiffCell }): JSX.Element {
  if (value === undefined) return <td class="value muted">not set</td>;
  const kind = better === null ? "" : better ? "better" : "worse";
  return (
    <td class={`value ${differs ? "differs" : ""}`} title={step === undefined ? undefined : text(value)}>
      {step === undefined || typeof value !== "number" ? text(value) : rounded(value, DIGITS)}
      {change !== null && (
        <span class={`change ${kind}`}>
          {" "}
          {change > 0 ? "+" : change < 0 ? "−" : ""}
          {rounded(Math.abs(change) * 100, 3)} %
        </span>
      )}
      {step !== undefined && step !== null && <span class="muted diff-step"> step {text(step)}</span>}
    </td>
  );
}

/** What had not been committed: it is told of each run whether it is what the baseline had. */
function Uncommitted({ runs, baseline }: { runs: readonly DiffRun[]; baseline: number }): JSX.Element | null {
  const texts = runs.map(({ environment }) => uncommittedOf(environment));
  if (!texts.some(Boolean)) return null;
  return (
    <section class="card uncommitted" aria-label="Uncommitted changes">
      <h2>Uncommitted changes</h2>
      {runs.map(({ record }, at) => {
        const isSame = at !== baseline && texts[at] === texts[baseline];
        const name = plain(record.prefix);
        return (
          <Fragment key={record.id}>
            {!texts[at] && <p class="muted">{name}: none</p>}
            {texts[at] && isSame && <p class="muted">{name}: those of the baseline</p>}
            {texts[at] && !isSame && (
              <details open={runs.length <= 2}>
                <summary>{name}</summary>
                <DiffText text={texts[at]} />
              </details>
            )}
          </Fragment>
        );
      })}
    </section>
  );
}

function partsOf(runs: readonly DiffRun[], baseline: number): Part[] {
  const of = (values: (run: DiffRun) => Record<string, unknown>): DiffRow[] => diffRows(runs.map(values), baseline);
  const parts: Part[] = [
    { title: "Parameters", rows: of(({ record }) => record.params ?? {}) },
    { title: "Results", rows: resultRows(runs.map(({ record }) => record), baseline) },
    { title: "Code and machine", rows: of(({ environment }) => surroundingsOf(environment)) },
    { title: "Packages", rows: of(({ environment }) => mapOf(environment.packages)) },
    { title: "Variables", rows: of(({ environment }) => mapOf(environment.variables)) },
  ];
  return parts.filter((part) => part.rows.length);
}
