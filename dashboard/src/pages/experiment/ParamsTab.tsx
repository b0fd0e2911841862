/** The parameters of an experiment. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { pages } from "../../api/client";
import { encode } from "../../api/json";
import type { Experiment, Params } from "../../api/types";
import { usePoll } from "../../state/poll";
import { Empty, SearchField } from "../../ui/basic";
import { text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";

const AGAIN = 30_000;
const SHOWN = 1000;

export function ParamsTab({ record }: { record: Experiment }): JSX.Element {
  const [params, setParams] = useState<Record<string, unknown> | null>(null);
  const [search, setSearch] = useState("");
  const [copied, setCopied] = useState(false);
  usePoll(
    async (signal) => {
      const found: Record<string, unknown> = {};
      for await (const page of pages<Params>(`experiments/${record.id}/params`, {}, signal)) {
        Object.assign(found, page.params);
      }
      setParams(found);
    },
    AGAIN,
    [record.id, record.entries],
  );
  if (!params) return <p class="loading">Loading…</p>;
  const all = Object.entries(params);
  if (!all.length) return <Empty title="This experiment has no parameters." code="exp.params.set(lr=0.001)" />;
  const found = all
    .filter(([name, value]) => `${name}\n${text(value)}`.toLowerCase().includes(search.toLowerCase()))
    .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));

  async function copy(): Promise<void> {
    await navigator.clipboard.writeText(encode(params, 2));
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  }

  return (
    <>
      <div class="controls">
        <SearchField main label="Find parameters" value={search} onInput={setSearch} />
        <span class="muted" role="status">
          {found.length === all.length ? whole(all.length) : `${whole(found.length)} of ${whole(all.length)}`}
        </span>
        <button type="button" onClick={() => void copy()}>
          {copied ? "Copied" : "Copy as JSON"}
        </button>
      </div>
      <div class="card">
        <table class="pairs">
          <tbody>
            {found.slice(0, SHOWN).map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{plain(name)}</th>
                <td class="value">{text(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {found.length > SHOWN && <p class="muted">and {whole(found.length - SHOWN)} more: type to find them</p>}
      </div>
    </>
  );
}
