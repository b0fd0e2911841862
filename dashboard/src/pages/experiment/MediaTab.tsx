/** Images, sounds, videos, histograms, tables and texts by step, with one slider for all of them. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { contentUrl, getText, pages } from "../../api/client";
import { parsePython } from "../../api/json";
import type { Experiment, File as FileRow, Files } from "../../api/types";
import { useLoad, usePoll } from "../../state/poll";
import { query, setQuery } from "../../state/url";
import { Empty, SearchField } from "../../ui/basic";
import { bytes, clean, rounded, several, text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { boxesOf, FOLDER, type Histogram, histogramOf, itemAt, type MediaItem, mediaSeries, stepsOf, tableOf } from "./media";
import { Preview } from "./Preview";

const AGAIN = 30_000;
const FILES_MAX = 5000;
const SHOWN = 60;
const ROWS_SHOWN = 100;
const DIGITS = 5;
const CONTENT_MAX = 4 * 1024 * 1024;
const [BARS_WIDTH, BARS_HEIGHT] = [400, 160];

export function MediaTab({ record }: { record: Experiment }): JSX.Element {
  const [rows, setRows] = useState<FileRow[] | null>(null);
  const [search, setSearch] = useState("");
  usePoll(
    async (signal) => {
      const found: FileRow[] = [];
      const asked = { path: FOLDER, limit: 1000 };
      for await (const page of pages<Files>(`experiments/${record.id}/files`, asked, signal)) {
        found.push(...page.data);
        if (found.length >= FILES_MAX) break;
      }
      setRows(found);
    },
    AGAIN,
    [record.id, record.entries],
  );
  if (!rows) return <p class="loading">Loading…</p>;
  const all = mediaSeries(rows);
  if (!all.length) {
    return (
      <Empty
        title="This run has logged no media"
        hint="Images, sounds, videos, histograms, tables and texts are shown here by step:"
        code={'exp.metrics("val").log(step=step, sample=ml_dash.Image(array))'}
      />
    );
  }
  const steps = stepsOf(all);
  const given = Number(query.value.get("step") ?? Number.NaN);
  const step = Number.isNaN(given) ? steps.at(-1)! : given;
  const at = Math.max(0, steps.findLastIndex((each) => each <= step));
  const found = all.filter(({ title }) => title.toLowerCase().includes(search.toLowerCase()));
  return (
    <>
      <div class="controls">
        <SearchField main label="Find media" value={search} onInput={setSearch} />
        <label class="field step-slider">
          <span>Step</span>
          <input
            type="range"
            min={0}
            max={steps.length - 1}
            value={at}
            aria-valuetext={`step ${whole(steps[at]!)}`}
            onInput={(event) => {
              const next = Number(event.currentTarget.value);
              setQuery({ step: next === steps.length - 1 ? null : String(steps[next]) });
            }}
          />
          <b>{whole(steps[at]!)}</b>
        </label>
        <span class="muted" role="status">
          {whole(found.length)} of {whole(all.length)}
          {rows.length >= FILES_MAX && `, of the first ${whole(rows.length)} files by name`}
        </span>
      </div>
      <div class="media">
        {found.slice(0, SHOWN).map((series) => (
          <Card key={series.title} title={series.title} experimentId={record.id} item={itemAt(series, step)} />
        ))}
      </div>
      {found.length > SHOWN && <p class="muted">and {whole(found.length - SHOWN)} more: type to find them</p>}
    </>
  );
}

function Card(props: { title: string; experimentId: string; item: MediaItem }): JSX.Element {
  const { experimentId, item } = props;
  return (
    <figure class="card media-card" aria-label={props.title}>
      <figcaption>
        <b>{plain(props.title)}</b> <span class="muted">step {whole(item.step)}</span>
      </figcaption>
      <Contents key={item.row.id} experimentId={experimentId} item={item} />
      {typeof item.about.caption === "string" && <p class="media-caption">{plain(item.about.caption)}</p>}
    </figure>
  );
}

export function Contents({ experimentId, item }: { experimentId: string; item: MediaItem }): JSX.Element {
  const { row, about } = item;
  const url = contentUrl(experimentId, row.id);
  if (!row.available) return <p class="problem">This file has not been uploaded yet.</p>;
  switch (about._type) {
    case "image":
      return <Boxed about={about} experimentId={experimentId} row={row} />;
    case "audio":
      return <audio controls src={url} />;
    case "histogram":
      return <Json url={url} row={row} show={(value) => <Bars of={histogramOf(value)} />} />;
    case "table":
      return <Json url={url} row={row} show={(value) => <Rows value={value} />} />;
    case "points":
    case "mesh":
      return (
        <p>
          <a class="button" href={url} download={row.filename}>
            Download
          </a>{" "}
          <span class="muted">
            {bytes(row.sizeBytes)}
            {typeof about.points === "number" && `, ${several(about.points, "point")}`}
          </span>
        </p>
      );
    default:
      return <Preview experimentId={experimentId} row={row} />;
  }
}

/** An image with its boxes over it; it has its room before it has come. */
function Boxed({ about, experimentId, row }: { about: MediaItem["about"]; experimentId: string; row: FileRow }): JSX.Element {
  const { width, height } = about;
  if (typeof width !== "number" || typeof height !== "number") return <Preview experimentId={experimentId} row={row} />;
  const boxes = boxesOf(about.boxes);
  const labels = boxes.map(({ label }) => plain(label)).filter(Boolean);
  return (
    <>
      <div class={`boxed ${boxes.length ? "drawn-on" : ""}`}>
        <Preview experimentId={experimentId} row={row} size={{ width, height }} />
        {boxes.length > 0 && (
          <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
            {boxes.map(({ box: [x0, y0, x1, y1] }, at) => (
              <rect key={at} x={Math.min(x0, x1)} y={Math.min(y0, y1)} width={Math.abs(x1 - x0)} height={Math.abs(y1 - y0)} />
            ))}
          </svg>
        )}
      </div>
      {labels.length > 0 && <p class="muted boxed-labels">{labels.join(", ")}</p>}
    </>
  );
}

function Json(props: { url: string; row: FileRow; show: (value: unknown) => JSX.Element }): JSX.Element {
  const [value, setValue] = useState<{ found: unknown } | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const isLarge = props.row.sizeBytes > CONTENT_MAX;
  useLoad(
    async (signal) => {
      if (isLarge) return;
      setValue({ found: parsePython(await getText(props.url, signal)) });
    },
    [props.url],
    { onError: (error) => setProblem(error?.message ?? null) },
  );
  if (isLarge) {
    return (
      <p class="muted">
        {bytes(props.row.sizeBytes)}: too large to be shown. <a href={props.url}>Download</a>
      </p>
    );
  }
  if (problem) return <p class="problem">{problem}</p>;
  return value ? props.show(value.found) : <p class="loading">Loading…</p>;
}

function Bars({ of }: { of: Histogram | null }): JSX.Element {
  if (!of) return <p class="problem">This is no histogram.</p>;
  const { counts, edges, odd } = of;
  if (!counts.length) return <p class="muted">No finite numbers{odd ? `, ${whole(odd)} that are not` : ""}.</p>;
  const most = Math.max(...counts, 1e-300);
  const [least, greatest] = [edges[0]!, edges.at(-1)!];
  const across = (value: number): number => ((value - least) / (greatest - least || 1)) * BARS_WIDTH;
  return (
    <>
      <svg
        class="bars"
        viewBox={`0 0 ${BARS_WIDTH} ${BARS_HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Histogram from ${clean(least)} to ${clean(greatest)}`}
      >
        {counts.map((count, at) => {
          const height = (count / most) * BARS_HEIGHT;
          return (
            <rect
              key={at}
              x={across(edges[at]!)}
              y={BARS_HEIGHT - height}
              width={Math.max(across(edges[at + 1]!) - across(edges[at]!) - 0.5, 0.5)}
              height={height}
            >
              <title>{`${clean(edges[at]!)} to ${clean(edges[at + 1]!)}: ${whole(count)}`}</title>
            </rect>
          );
        })}
      </svg>
      <p class="muted bars-ends">
        <span>{clean(Number(least.toPrecision(4)))}</span>
        <span>{odd ? `${whole(odd)} NaN or infinite` : ""}</span>
        <span>{clean(Number(greatest.toPrecision(4)))}</span>
      </p>
    </>
  );
}

/** A number of more digits than there is room for: the whole is told by its title. */
function isLong(cell: unknown): cell is number {
  return typeof cell === "number" && Number.isFinite(cell) && !Number.isInteger(cell) && text(cell).length > DIGITS + 2;
}

function Rows({ value }: { value: unknown }): JSX.Element {
  const table = tableOf(value);
  if (!table) return <p class="problem">This is no table.</p>;
  return (
    <div class="media-table" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {table.columns.map((name) => (
              <th key={name} scope="col">
                {plain(name)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.slice(0, ROWS_SHOWN).map((row, at) => (
            <tr key={at}>
              {row.map((cell, column) => (
                <td key={column} title={isLong(cell) ? text(cell) : undefined}>
                  {typeof cell === "string" ? plain(cell) : isLong(cell) ? rounded(cell, DIGITS) : text(cell)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {table.rows.length > ROWS_SHOWN && (
        <p class="muted">
          The first {whole(ROWS_SHOWN)} of {several(table.rows.length, "row")}.
        </p>
      )}
    </div>
  );
}
