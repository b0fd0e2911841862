/** Images, sounds, tables, texts and histograms of several runs side by side, with one slider of steps for all. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { pages } from "../../../api/client";
import type { Files, ListedExperiment } from "../../../api/types";
import { useLoad } from "../../../state/poll";
import { natural, several, whole } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { FOLDER, itemAt, type MediaSeries, mediaSeries, stepsOf } from "../../experiment/media";
import { Contents } from "../../experiment/MediaTab";
import { nameIn } from "../runs";
import { matcher } from "../sections";
import { colors, withMedia } from "../state";
import { HISTOGRAMS, type Histograms, show, view } from "../view";
import { Distribution } from "./Distribution";

/** Runs side by side. */
const RUNS_MAX = 6;
const FILES_MAX = 3000;
const SHAPES: Record<Histograms, string> = { heat: "Heatmap", ridges: "Ridges" };

interface OfRun {
  series: readonly MediaSeries[];
  /** Whether there are more files than were looked at. */
  isCut: boolean;
}

type Found = ReadonlyMap<string, OfRun>;

export function Media(): JSX.Element {
  const runs = withMedia.value.slice(0, RUNS_MAX);
  const [found, setFound] = useState<Found | null>(null);
  const [problem, setProblem] = useState("");
  useLoad(
    async (signal) => {
      const all = await Promise.all(runs.map(async (run) => [run.id, await seriesOf(run, signal)] as const));
      setFound(new Map(all));
    },
    [runs.map((run) => `${run.id} ${run.entries}`).join()],
    { onError: (error) => setProblem(error?.message ?? "") },
  );
  if (problem) return <p class="problem">{problem}</p>;
  if (!found) return <p class="note">Loading…</p>;
  return <Strips runs={runs} found={found} />;
}

async function seriesOf({ id }: ListedExperiment, signal: AbortSignal): Promise<OfRun> {
  const rows: Files["data"] = [];
  for await (const page of pages<Files>(`experiments/${id}/files`, { path: FOLDER, limit: 1000 }, signal)) {
    rows.push(...page.data);
    if (rows.length >= FILES_MAX) return { series: mediaSeries(rows), isCut: page.hasMore };
  }
  return { series: mediaSeries(rows), isCut: false };
}

function Strips({ runs, found }: { runs: readonly ListedExperiment[]; found: Found }): JSX.Element {
  const { find, step, folder, histograms } = view.value;
  const all = [...found.values()].flatMap(({ series }) => series);
  const cut = runs.filter((run) => found.get(run.id)?.isCut);
  const steps = stepsOf(all);
  const fits = matcher(find);
  const titles = [...new Set(all.map((series) => series.title))].filter(fits).sort(natural);
  const chosen = step ?? steps.at(-1) ?? 0;
  const at = Math.max(0, steps.findLastIndex((each) => each <= chosen));
  const having = runs.filter((run) => found.get(run.id)?.series.length);
  return (
    <div class="strips">
      <div class="strips-head">
        <label class="field strips-step">
          <span>Step</span>
          <input
            type="range"
            min={0}
            max={Math.max(0, steps.length - 1)}
            value={at}
            aria-valuetext={`step ${whole(steps[at] ?? 0)}`}
            onInput={(event) => {
              const next = Number(event.currentTarget.value);
              show({ step: next === steps.length - 1 ? null : steps[next]! });
            }}
          />
          <b>{whole(steps[at] ?? 0)}</b>
        </label>
        {all.some(isDistribution) && (
          <select
            aria-label="Histograms over steps"
            value={histograms}
            onChange={(event) => show({ histograms: event.currentTarget.value as Histograms })}
          >
            {HISTOGRAMS.map((each) => (
              <option key={each} value={each}>
                {SHAPES[each]}
              </option>
            ))}
          </select>
        )}
        <span class="muted">
          {withMedia.value.length > RUNS_MAX && `the first ${RUNS_MAX} of ${several(withMedia.value.length, "run")} that have any`}
          {cut.length > 0 && ` · of ${cut.map((run) => plain(nameIn(run, folder))).join(", ")} the first ${whole(FILES_MAX)} files by name, and no more`}
        </span>
      </div>
      <div class="strips-scroll" tabIndex={0} role="region" aria-label="Media of the runs">
        <table>
          <thead>
            <tr>
              <td />
              {having.map((run) => (
                <th key={run.id} scope="col">
                  <span class="swatch" style={{ background: colors.value.get(run.id) ?? "" }} /> {plain(nameIn(run, folder))}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {titles.map((title) => (
              <tr key={title}>
                <th scope="row">{plain(title)}</th>
                {having.map((run) => {
                  const series = found.get(run.id)?.series.find((each) => each.title === title);
                  return (
                    <td key={run.id}>{series ? <Cell series={series} run={run} step={steps[at] ?? 0} /> : <span class="muted">–</span>}</td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function isDistribution({ items }: MediaSeries): boolean {
  return items.length > 1 && items.at(-1)!.about._type === "histogram";
}

function Cell({ series, run, step }: { series: MediaSeries; run: ListedExperiment; step: number }): JSX.Element {
  const item = itemAt(series, step);
  const { caption } = item.about;
  return (
    <>
      {item.step !== step && <span class="muted">step {whole(item.step)}</span>}
      {isDistribution(series) ? (
        <Distribution series={series} run={run.id} step={item.step} />
      ) : (
        <Contents key={item.row.id} experimentId={run.id} item={item} />
      )}
      {typeof caption === "string" && <p class="media-caption">{plain(caption)}</p>}
    </>
  );
}
