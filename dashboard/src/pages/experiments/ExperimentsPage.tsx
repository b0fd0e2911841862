/** All experiments: a tree, a search that filters, and a table whose columns people choose. */

import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";

import { isAbort } from "../../api/client";
import type { ListedExperiment } from "../../api/types";
import { useLoad, usePoll } from "../../state/poll";
import { comparePath, navigate, query, setQuery } from "../../state/url";
import { Empty, now, SearchField } from "../../ui/basic";
import { whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { ColumnMenu } from "./ColumnMenu";
import { type Column, columnOf, DEFAULT_COLUMNS, ordered, valueOf } from "./columns";
import { type Condition, conditionOf, meets, namesOf, problemOf } from "./conditions";
import { FolderTree } from "./FolderTree";
import { globMatcher, parseFilter, type Problem } from "./filter";
import {
  filtered,
  loadFiltered,
  loadMatches,
  loadValues,
  matches,
  matchKey,
  records,
  refresh,
  total,
  unread,
  values,
  type WantedMetric,
} from "./store";
import { type Sorting, Table } from "./Table";
import { isIn } from "./tree";

const POLL = 3000;
const COMPARED_MAX = 24;
const FIRST_RUN = `from ml_dash import Experiment

with Experiment("me/project/first-run").run as exp:
    exp.metrics("train").log(loss=0.5)`;

export function ExperimentsPage(): JSX.Element {
  const folder = query.value.get("in") ?? "";
  const searched = query.value.get("q") ?? "";
  const sorting = sortingOf(query.value.get("sort") ?? "-started");
  const keys = query.value.get("columns")?.split(",").map(unescaped) ?? DEFAULT_COLUMNS;
  const [full, setFull] = useState(false);
  const ticked = useMemo(() => new Set(query.value.getAll("e")), [query.value]);
  const [range, setRange] = useState<readonly [number, number]>([0, 40]);
  const [listed, setListed] = useState(records.value.size > 0);
  const [problem, setProblem] = useState("");

  usePoll(
    async (signal) => {
      try {
        await refresh(signal);
        setListed(true);
        setProblem("");
      } catch (error) {
        if (!isAbort(error)) setProblem((error as Error).message);
        throw error;
      }
    },
    POLL,
    [],
  );
  useEffect(() => {
    document.title = folder ? `${folder} · ML-Dash` : "ML-Dash";
  }, [folder]);

  const columns = useMemo(() => keys.flatMap((key) => columnOf(key) ?? []), [keys.join()]);
  const filter = useMemo(() => parseFilter(searched), [searched]);
  const names = useMemo(() => namesOf(values.value), [values.value]);
  const conditions = useMemo(() => filter.comparisons.map((each) => conditionOf(each, names, searched)), [filter, names]);
  const sorted = sorting.key === "name" ? null : columnOf(sorting.key);
  // What only the rows in sight show is asked for as they come into sight; what sorts or filters, for all.
  const asked = [...conditions.flatMap(({ column }) => column ?? []), ...(sorted ? [sorted] : [])];
  const needed = [...columns, ...asked];
  const wanted: WantedMetric[] = needed.flatMap((each) =>
    each.kind === "metric" ? [{ key: each.key, metric: each.metric }] : [],
  );
  const forAll = asked.some((column) => column.kind !== "record");
  // until then a filter has not seen all, and what it has found is not the answer
  const reading = forAll ? unread([...records.value.keys()], wanted, values.value) : 0;
  const judged = useMemo(
    () => conditions.map((each) => [each, problemOf(each, records.value.values(), values.value, listed && !reading)] as const),
    [conditions, records.value, values.value, listed, reading],
  );
  const problems = [...filter.problems, ...judged.flatMap(([, wrong]) => wrong ?? [])].sort((a, b) => a.start - b.start);
  const held = judged.flatMap(([each, wrong]) => (wrong ? [] : [each]));
  const key = matchKey(filter.words);
  // what is found by its readme is known to the server alone, and is asked for again where one may have changed
  const inReadme = matches.value.key === key ? matches.value.ids : null;
  // so is what is asked of other values of metrics than the last
  const asks = held.flatMap((each) => each.asks ?? []).join(" ");
  const inAnswer = filtered.value.filter === asks ? filtered.value.ids : null;
  const searching = (filter.words.length > 0 && !inReadme) || (asks !== "" && !inAnswer);
  const described = useMemo(() => describedAt(records.value.values()), [records.value]);
  useLoad(
    async (signal) => {
      if (filter.words.length) await loadMatches(filter.words, signal);
    },
    [key, described],
    { delay: 200, onError: (error) => isAbort(error) || setProblem(error.message) },
  );
  useLoad(
    async (signal) => {
      if (asks) await loadFiltered(asks, signal);
    },
    [asks, described],
    { delay: 200, onError: (error) => isAbort(error) || setProblem(error.message) },
  );
  const rows = useMemo(
    () =>
      chosen([...records.value.values()], {
        folder,
        words: filter.words,
        globs: filter.globs.map(globMatcher),
        inReadme,
        inAnswer: asks ? (inAnswer ?? new Set()) : null,
        conditions: held,
        sorted,
        sorting,
      }),
    [records.value, values.value, folder, filter, inReadme, inAnswer, judged, sorting.key, sorting.descending],
  );

  const ids = forAll ? [...records.value.keys()] : rows.slice(range[0], range[1]).map((row) => row.id);
  const request = JSON.stringify([forAll ? "all" : ids, wanted.map((each) => each.key)]);
  useLoad(
    async (signal) => {
      if (ids.length) await loadValues(ids, wanted, signal);
    },
    [request, records.value],
  );

  const onRange = useCallback((first: number, last: number) => setRange([first, last]), []);
  const sort = (key: string): void => {
    const descending = sorting.key === key ? !sorting.descending : key !== "name";
    setQuery({ sort: `${descending ? "-" : ""}${key}` });
  };
  const tick = (prefix: string): void => {
    const before = query.peek().getAll("e");
    const next = before.includes(prefix) ? before.filter((each) => each !== prefix) : [...before, prefix];
    // no tick of before is taken away without a word
    setFull(next.length > COMPARED_MAX);
    if (next.length <= COMPARED_MAX) setQuery({ e: next });
  };
  const compare = (): void => navigate(comparePath([...ticked]));

  return (
    <div class="experiments">
      <FolderTree
        records={useMemo(() => [...records.value.values()], [records.value])}
        chosen={folder}
        onChoose={(path) => setQuery({ in: path || null }, { push: true })}
      />
      <section class="list" aria-labelledby="experiments-title">
        <div class="list-head">
          <h1 id="experiments-title">{plain(folder) || "Experiments"}</h1>
          <span class="muted" role="status">
            {listed ? counted(rows.length, total.value ?? rows.length) : "Loading…"}
            {listed && searching && ", searching…"}
            {listed && reading > 0 && `, reading ${whole(reading)} more…`}
          </span>
        </div>
        <div class="controls">
          <SearchField
            main
            label="Search and filter"
            placeholder="resnet  tag:baseline  lr < 0.01  train/loss < 0.5"
            value={searched}
            onInput={(value) => setQuery({ q: value })}
          />
          <ColumnMenu
            known={values.value}
            chosen={keys}
            onChange={(next) => setQuery({ columns: next.map(encodeURIComponent).join(",") })}
          />
          <button type="button" class="primary" disabled={ticked.size < 1} onClick={compare}>
            Compare{ticked.size ? ` ${ticked.size}` : ""}
          </button>
        </div>
        {full && (
          <p class="problem" role="alert">
            At most {COMPARED_MAX} experiments are compared: take another one away first.
          </p>
        )}
        {problem && <p class="problem">{problem}</p>}
        <Problems of={problems} text={searched} />
        {listed && !records.value.size ? (
          <Empty title="There are no experiments yet." code={FIRST_RUN} />
        ) : (
          <div class="table-box">
            <Table
              rows={rows}
              columns={columns}
              known={values.value}
              sorting={sorting}
              folder={folder}
              ticked={ticked}
              onSort={sort}
              onTick={tick}
              onCompare={compare}
              onRange={onRange}
            />
            {listed && !reading && !searching && !rows.length && (
              <Empty title="No experiments match this filter.">
                {filter.words.length > 0 && (
                  <p class="muted">{filter.words.join(" and ")} must be part of the prefix, a tag, the readme or the note.</p>
                )}
              </Empty>
            )}
          </div>
        )}
      </section>
    </div>
  );
}

/** What of the filter is not understood, and where; the rest of it holds all the same. */
function Problems(props: { of: readonly Problem[]; text: string }): JSX.Element {
  return (
    <div aria-live="polite">
      {props.of.map(({ start, stop, message }) => (
        <p key={`${start} ${message}`} class="problem filter-problem">
          <code>
            {props.text.slice(0, start)}
            <mark>{props.text.slice(start, stop)}</mark>
            {props.text.slice(stop)}
          </code>{" "}
          {message}
        </p>
      ))}
    </div>
  );
}

interface Choice {
  folder: string;
  words: readonly string[];
  globs: readonly ((prefix: string) => boolean)[];
  inReadme: ReadonlySet<string> | null;
  inAnswer: ReadonlySet<string> | null;
  conditions: readonly Condition[];
  sorted: Column | null;
  sorting: Sorting;
}

function chosen(all: ListedExperiment[], choice: Choice): ListedExperiment[] {
  const at = now.peek();
  const known = values.value;
  const { sorted, sorting } = choice;
  const found = all.filter(
    (record) =>
      isIn(record.prefix, choice.folder) &&
      choice.globs.every((fits) => fits(record.prefix)) &&
      (choice.inAnswer?.has(record.id) ?? true) &&
      (hasWords(record, choice.words) || choice.inReadme?.has(record.id)) &&
      choice.conditions.every((condition) => meets(condition, record, known.get(record.id), at)),
  );
  const value = (record: ListedExperiment): unknown =>
    sorted ? valueOf(sorted, record, known.get(record.id), at) : record.prefix;
  return found
    .map((record) => [record, value(record)] as const)
    .sort(([a, first], [b, second]) => ordered(first, second, sorting.descending) || ordered(a.prefix, b.prefix, false))
    .map(([record]) => record);
}

function hasWords(record: ListedExperiment, words: readonly string[]): boolean {
  if (!words.length) return true;
  const searched = [record.prefix, ...record.tags].join("\n").toLowerCase();
  return words.every((word) => searched.includes(word));
}

/** What changes where the readme of an experiment does, or another experiment comes. */
function describedAt(all: Iterable<ListedExperiment>): string {
  let [count, latest] = [0, ""];
  for (const { updatedAt } of all) {
    count += 1;
    if (updatedAt > latest) latest = updatedAt;
  }
  return `${count} ${latest}`;
}

/** A part of the address; as it is where it is damaged. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function sortingOf(text: string): Sorting {
  return text.startsWith("-") ? { key: text.slice(1), descending: true } : { key: text, descending: false };
}

function counted(shown: number, all: number): string {
  return shown === all ? `${whole(all)} in all` : `${whole(shown)} of ${whole(all)}`;
}
