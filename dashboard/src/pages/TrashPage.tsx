/** What was deleted and can be brought back. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { pages } from "../api/client";
import type { Trash, Trashed } from "../api/types";
import { usePoll } from "../state/poll";
import { mayWrite } from "../state/session";
import { experimentPath, navigate } from "../state/url";
import { Empty, Link, SearchField, Time } from "../ui/basic";
import { several, whole } from "../ui/format";
import { tell } from "../ui/Notice";
import { plain } from "../ui/terminal";
import { restore } from "./experiment/changing/changes";

const AGAIN = 30_000;
const SHOWN = 500;

export function TrashPage(): JSX.Element {
  const [rows, setRows] = useState<Trashed[] | null>(null);
  const [search, setSearch] = useState("");
  const [turn, setTurn] = useState(0);
  usePoll(
    async (signal) => {
      const found: Trashed[] = [];
      for await (const page of pages<Trash>("trash", { limit: 1000 }, signal)) found.push(...page.data);
      setRows(found);
    },
    AGAIN,
    [turn],
  );
  useEffect(() => {
    document.title = "Trash · ML-Dash";
  }, []);

  async function bringBack(row: Trashed): Promise<void> {
    try {
      const { prefix } = await restore(row);
      tell({ text: `${plain(prefix)} is back.` });
      navigate(experimentPath(prefix));
    } catch (error) {
      tell({ text: (error as Error).message, isProblem: true });
      setTurn(turn + 1);
    }
  }

  if (!rows) return <p class="loading">Loading…</p>;
  if (!rows.length) {
    return (
      <Empty title="The trash is empty" hint="What is deleted can be brought back from here.">
        <Link href="/">All experiments</Link>
      </Empty>
    );
  }
  const found = rows.filter((row) => row.prefix.toLowerCase().includes(search.toLowerCase()));
  return (
    <div class="diff-page">
      <h1>Trash</h1>
      <div class="controls">
        <SearchField main label="Find in the trash" value={search} onInput={setSearch} />
        <span class="muted" role="status">
          {several(found.length, "experiment")}
        </span>
      </div>
      <div class="card scroll-x">
        <table class="diff-table">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Rows</th>
              <th scope="col">Deleted</th>
              <th scope="col">By</th>
              <th scope="col">Removed for good</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {found.slice(0, SHOWN).map((row) => (
              <tr key={row.id}>
                <td>{plain(row.prefix)}</td>
                <td>{whole(row.rows)}</td>
                <td>
                  <Time at={row.deletedAt} />
                </td>
                <td>{row.deletedBy ? plain(row.deletedBy) : "–"}</td>
                <td>{row.purgeAt ? <Time at={row.purgeAt} /> : "never"}</td>
                <td>
                  {mayWrite(row.owner) && (
                    <button type="button" aria-label={`Restore ${row.prefix}`} onClick={() => void bringBack(row)}>
                      Restore
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {found.length > SHOWN && <p class="muted">and {whole(found.length - SHOWN)} more: type to find them</p>}
      </div>
    </div>
  );
}
