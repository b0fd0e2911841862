/** Which parameters matter for the result, as the server works it out over all runs of the filter. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { get } from "../../../api/client";
import type { Importance as Answer, ParamImportance } from "../../../api/types";
import { useLoad } from "../../../state/poll";
import { several, whole } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { bestAmong, type Column } from "../columns";
import { short } from "../plot/read";
import { shownBy } from "../runs";
import { drawn } from "../state";
import { view } from "../view";

const SHOWN = 12;
const DIGITS = 2;
/** What the server works it out for. */
const VALUES = ["last", "min", "max", "mean"] as const;

export function Importance({ column }: { column: Extract<Column, { kind: "metric" }> }): JSX.Element {
  const { folder, filter } = view.value;
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [problem, setProblem] = useState("");
  const wanted = column.aggregate === "best" ? bestAmong(column.metric, drawn.value) : column.aggregate;
  const value = VALUES.find((each) => each === wanted);
  useLoad(
    async (signal) => {
      if (!value) return;
      const { name, field } = column.metric;
      const asked = { prefix: folder || null, filter: shownBy(filter), metric: name, field, value };
      setAnswer(await get<Answer>("importance", asked, signal));
    },
    [column.key, value, folder, filter],
    { onError: (error) => setProblem(error?.message ?? "") },
  );
  if (!value) return <p class="note">What matters for the {column.aggregate} is not worked out: choose {VALUES.join(", ")} or best.</p>;
  if (problem) return <p class="note">{problem}</p>;
  if (!answer) return <div class="importance importance-wait waiting" role="status" aria-label="Working it out" />;
  const hasForest = answer.data.some((each) => each.importance !== null);
  const largest = Math.max(...answer.data.map((each) => sizeOf(each, hasForest)), Number.MIN_VALUE);
  return (
    <div class="importance">
      <table>
        <thead>
          <tr>
            <th scope="col">Parameter</th>
            <th scope="col">{hasForest ? "Importance" : "Rank correlation"}</th>
            <th scope="col" class="numbers" title="Pearson's">
              Correlation
            </th>
            <th scope="col" class="numbers">
              Runs
            </th>
          </tr>
        </thead>
        <tbody>
          {answer.data.slice(0, SHOWN).map((each) => (
            <tr key={each.param}>
              <th scope="row">{plain(each.param)}</th>
              <td>
                <span class="bar-ground">
                  <span
                    class={`bar ${(each.rankCorrelation ?? 0) < 0 ? "bar-down" : "bar-up"}`}
                    style={{ width: `${(100 * sizeOf(each, hasForest)) / largest}%` }}
                  />
                </span>
              </td>
              <td class="numbers">{each.correlation === null ? "–" : short(each.correlation, DIGITS)}</td>
              <td class="numbers">{whole(each.runs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {answer.data.length > SHOWN && <p class="note">The first {SHOWN} of {several(answer.data.length, "parameter")}.</p>}
      <p class="note">
        Over {several(answer.runs, "run")}
        {answer.isPart && `, of ${whole(answer.total)}`}.{" "}
        {answer.forest.why ?? (answer.forest.score !== null && `A random forest explains ${Math.round(100 * answer.forest.score)} % of runs it has not seen.`)}
      </p>
    </div>
  );
}

function sizeOf({ importance, rankCorrelation }: ParamImportance, hasForest: boolean): number {
  return Math.max(0, hasForest ? (importance ?? 0) : Math.abs(rankCorrelation ?? 0));
}
