/** Parameters and results of the runs, side by side. */

import type { JSX } from "preact";

import { experimentPath, query, setQuery } from "../../state/url";
import { Link, Status, Toggle } from "../../ui/basic";
import { text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { paramRows, type Run } from "./runs";

export function ParamTable(props: {
  runs: readonly Run[];
  labels: readonly string[];
  colors: readonly string[];
  /** What the results are the last values of. */
  result: string | null;
  onRemove: (prefix: string) => void;
}): JSX.Element {
  const { runs, labels, colors } = props;
  const onlyDifferent = query.value.get("same") === null;
  const rows = paramRows(runs);
  const shown = onlyDifferent && runs.length > 1 ? rows.filter((row) => row.differs) : rows;
  return (
    <section class="card" aria-labelledby="params-title">
      <div class="section-head">
        <h2 id="params-title">Parameters</h2>
        <Toggle label="only differences" value={onlyDifferent} onChange={(only) => setQuery({ same: only ? null : "1" })} />
        <span class="muted">
          {whole(shown.length)} of {whole(rows.length)}
        </span>
      </div>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Parameters of the runs">
        <table class="compare">
          <thead>
            <tr>
              <td />
              {runs.map((run, at) => (
                <th key={run.record.id} scope="col">
                  <span class="swatch" style={{ background: colors[at] }} />{" "}
                  <Link href={experimentPath(run.record.prefix)}>{plain(labels[at]!)}</Link>{" "}
                  <button
                    type="button"
                    class="quiet"
                    aria-label={`Remove ${labels[at]}`}
                    onClick={() => props.onRemove(run.record.prefix)}
                  >
                    ×
                  </button>
                  <div>
                    <Status of={run.record} />
                  </div>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr key={row.name} class={row.differs ? "differs" : ""}>
                <th scope="row">{plain(row.name)}</th>
                {row.values.map((value, at) => (
                  <td key={at} class="value">
                    {value === undefined ? <span class="muted">not set</span> : text(value)}
                  </td>
                ))}
              </tr>
            ))}
            {props.result !== null && (
              <tr class="result">
                <th scope="row">{props.result} (last)</th>
                {runs.map((run) => (
                  <td key={run.record.id} class="value">
                    {run.results[0] === undefined || run.results[0] === null ? (
                      <span class="muted">none</span>
                    ) : (
                      text(run.results[0])
                    )}
                  </td>
                ))}
              </tr>
            )}
          </tbody>
        </table>
      </div>
      {!shown.length && <p class="muted">All parameters are equal.</p>}
    </section>
  );
}
