/** All experiments: a tree, a search that filters, and a table whose columns people choose. */

import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";

import { isAbort } from "../../api/client";
import type { Experiment, MetricField } from "../../api/types";
import { useLoad, usePoll } from "../../state/poll";
import { comparePath, navigate, query, setQuery } from "../../state/url";
import { Empty, now, SearchField } from "../../ui/basic";
import { whole } from "../../ui/format";
import { ColumnMenu } from "./ColumnMenu";
import { type Column, columnOf, DEFAULT_COLUMNS, metricTitle, namedColumn, type Names, ordered, valueOf } from "./columns";
import { FolderTree } from "./FolderTree";
import { type Filter, holds, parseFilter } from "./filter";
import { type Known, loadValues, records, refresh, total, unread, values, type WantedMetric } from "./store";
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
  const compared = useMemo(
    () => filter.comparisons.map((each) => [each, namedColumn(each.name, names)] as const),
    [filter, names],
  );
  const sorted = sorting.key === "name" ? null : columnOf(sorting.key);
  const rows = useMemo(
    () => chosen([...records.value.values()], { folder, filter, compared, sorted, sorting }),
    [records.value, values.value, folder, filter, compared, sorting.key, sorting.descending],
  );

  // What only the rows in sight show is asked for as they come into sight; what sorts or filters, for all.
  const needed = [...columns, ...compared.map(([, column]) => column), ...(sorted ? [sorted] : [])];
  const wanted: WantedMetric[] = needed.flatMap((each) =>
    each.kind === "metric" ? [{ key: each.key, metric: each.metric }] : [],
  );
  const forAll = [...compared.map(([, column]) => column), ...(sorted ? [sorted] : [])].some(
    (column) => column.kind !== "record",
  );
  const ids = forAll ? [...records.value.keys()] : rows.slice(range[0], range[1]).map((row) => row.id);
  // until then a filter has not seen all, and what it has found is not the answer
  const reading = forAll ? unread(ids, wanted, values.value) : 0;
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
    setQuery({ e: next.slice(-COMPARED_MAX) });
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
          <h1 id="experiments-title">{folder || "Experiments"}</h1>
          <span class="muted" role="status">
            {listed ? counted(rows.length, total.value ?? rows.length) : "Loading…"}
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
        {problem && <p class="problem">{problem}</p>}
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
            {listed && !reading && !rows.length && <Empty title="No experiments match this filter." />}
          </div>
        )}
      </section>
    </div>
  );
}

interface Choice {
  folder: string;
  filter: Filter;
  compared: readonly (readonly [Filter["comparisons"][number], Column])[];
  sorted: Column | null;
  sorting: Sorting;
}

function chosen(all: Experiment[], choice: Choice): Experiment[] {
  const at = now.peek();
  const known = values.value;
  const { sorted, sorting } = choice;
  const found = all.filter(
    (record) =>
      isIn(record.prefix, choice.folder) &&
      hasWords(record, choice.filter.words) &&
      choice.compared.every(([comparison, column]) => holds(valueOf(column, record, known.get(record.id), at), comparison)),
  );
  const value = (record: Experiment): unknown =>
    sorted ? valueOf(sorted, record, known.get(record.id), at) : record.prefix;
  return found
    .map((record) => [record, value(record)] as const)
    .sort(([a, first], [b, second]) => ordered(first, second, sorting.descending) || ordered(a.prefix, b.prefix, false))
    .map(([record]) => record);
}

function hasWords(record: Experiment, words: readonly string[]): boolean {
  if (!words.length) return true;
  const searched = [record.prefix, ...record.tags, record.readme ?? ""].join("\n").toLowerCase();
  return words.every((word) => searched.includes(word));
}

function namesOf(known: ReadonlyMap<string, Known>): Names {
  const params = new Set<string>();
  const fields = new Map<string, MetricField>();
  for (const each of known.values()) {
    for (const name of Object.keys(each.params)) params.add(name);
    for (const metric of each.metrics) {
      for (const field of metric.fields) {
        const title = metricTitle({ name: metric.name, field });
        if (!fields.has(title)) fields.set(title, { name: metric.name, field });
      }
    }
  }
  return { params, fields };
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
