/** The parameters of an experiment, as a tree that can be searched. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import { pages } from "../../../api/client";
import { encode } from "../../../api/json";
import type { Experiment, Params as Page } from "../../../api/types";
import { usePoll } from "../../../state/poll";
import { SearchField } from "../../../ui/basic";
import { text, whole } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { paramRows, paramTree } from "./tree";

const AGAIN = 30_000;
const SHOWN = 1000;

export function Params({ record }: { record: Experiment }): JSX.Element {
  const [params, setParams] = useState<Record<string, unknown> | null>(null);
  const [search, setSearch] = useState("");
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [copied, setCopied] = useState(false);
  usePoll(
    async (signal) => {
      const found = await paramsOf(record.id, signal);
      setParams((before) => (before && encode(before) === encode(found) ? before : found));
    },
    AGAIN,
    [record.id, record.entries],
  );
  const tree = useMemo(() => paramTree(params ?? {}), [params]);
  const rows = useMemo(() => paramRows(tree, folded, search), [tree, folded, search]);
  const count = Object.keys(params ?? {}).length;
  const found = rows.filter(({ node }) => node.isSet).length;

  function fold(path: string): void {
    const next = new Set(folded);
    if (!next.delete(path)) next.add(path);
    setFolded(next);
  }

  async function copy(): Promise<void> {
    await navigator.clipboard.writeText(encode(params, 2));
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  }

  return (
    <section class="card" aria-label="Parameters">
      <div class="section-head">
        <h2>
          Parameters {params && <span class="count">{search ? `${whole(found)} of ${whole(count)}` : whole(count)}</span>}
        </h2>
        {count > 0 && (
          <>
            <SearchField label="Find parameters" value={search} onInput={setSearch} />
            <button type="button" class="quiet" onClick={() => void copy()}>
              {copied ? "Copied" : "Copy as JSON"}
            </button>
          </>
        )}
      </div>
      {!params && <p class="muted">Loading…</p>}
      {params && !count && (
        <p class="muted">
          There are none: <code>exp.params.set(lr=0.001)</code>
        </p>
      )}
      {rows.length > 0 && (
        <table class="pairs params">
          <tbody>
            {rows.slice(0, SHOWN).map(({ node, depth, open }) => (
              <tr key={node.path} aria-label={node.path}>
                <th scope="row" title={plain(node.path)}>
                  <span class={`depth depth-${Math.min(depth, 8)}`}>
                    {node.children.length > 0 ? (
                      <button type="button" class="fold" aria-expanded={open} onClick={() => fold(node.path)}>
                        {plain(node.name) || "“”"}
                        {!open && <span class="count">{whole(node.count)}</span>}
                      </button>
                    ) : (
                      plain(node.name) || "“”"
                    )}
                  </span>
                </th>
                <td class="value">{node.isSet && text(node.value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {rows.length > SHOWN && <p class="muted">and {whole(rows.length - SHOWN)} more: type to find them</p>}
      {search && !rows.length && <p class="muted">No parameter has this in its name or value.</p>}
    </section>
  );
}

/** Return all parameters of an experiment, by their dotted names. */
export async function paramsOf(id: string, signal: AbortSignal): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for await (const page of pages<Page>(`experiments/${id}/params`, {}, signal)) Object.assign(found, page.params);
  return found;
}
