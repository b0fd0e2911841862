/** The files of an experiment, with their versions and a look into them. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { contentUrl, pages } from "../../api/client";
import type { Experiment, File as FileRow, Files } from "../../api/types";
import { usePoll } from "../../state/poll";
import { query, setQuery } from "../../state/url";
import { Empty, SearchField, Tags, Time } from "../../ui/basic";
import { bytes, localTime, text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { fullName } from "./files";
import { Preview } from "./Preview";

const AGAIN = 30_000;
const LIMIT = 1000;
const FIRST = `exp.files("models").save("model.pt")`;

export function FilesTab({ record }: { record: Experiment }): JSX.Element {
  const [page, setPage] = useState<Pick<Files, "data" | "total" | "hasMore"> | null>(null);
  const [search, setSearch] = useState("");
  usePoll(
    async (signal) => setPage(await first(record.id, {}, signal)),
    AGAIN,
    [record.id, record.entries],
  );
  if (!page) return <p class="loading">Loading…</p>;
  if (!page.data.length) return <Empty title="This run has saved no files" hint="Checkpoints, configurations, plots: what is saved is listed here, with its versions:" code={FIRST} />;
  const found = page.data.filter((row) => fullName(row).toLowerCase().includes(search.toLowerCase()));
  const chosen = page.data.find((row) => fullName(row) === query.value.get("file"));
  return (
    <>
      <div class="controls">
        <SearchField main label="Find files" value={search} onInput={setSearch} />
        <span class="muted" role="status">
          {whole(found.length)} of {whole(page.total)}
          {page.hasMore && `, the first ${whole(page.data.length)} shown`}
        </span>
      </div>
      <div class="files">
        <ul class="file-list card" aria-label="Files">
          {found.map((row) => (
            <li key={row.id}>
              <button
                type="button"
                class="file"
                aria-current={row === chosen ? "true" : undefined}
                onClick={() => setQuery({ file: fullName(row), alias: null })}
              >
                <span class="file-name">
                  <span class="muted">{row.path === "/" ? "" : plain(`${row.path.slice(1)}/`)}</span>
                  {plain(row.filename)}
                </span>
                <span class="muted">{bytes(row.sizeBytes)}</span>
              </button>
            </li>
          ))}
        </ul>
        {chosen ? (
          <FileDetails key={chosen.id} record={record} row={chosen} />
        ) : (
          <p class="muted file-hint">Select a file to preview it.</p>
        )}
      </div>
    </>
  );
}

function FileDetails({ record, row }: { record: Experiment; row: FileRow }): JSX.Element {
  const [versions, setVersions] = useState<FileRow[]>([row]);
  const [version, setVersion] = useState(row);
  useEffect(() => {
    const end = new AbortController();
    first(record.id, { path: fullName(row), versions: true }, end.signal).then(
      // the path of a folder has all below it, too
      (page) => {
        const found = page.data.filter((each) => fullName(each) === fullName(row));
        setVersions(found);
        // an address may name a version by its alias: it leads to another one when the alias is given to that
        const alias = query.peek().get("alias");
        setVersion(found.find((each) => alias && each.aliases.includes(alias)) ?? row);
      },
      () => undefined,
    );
    return () => end.abort();
  }, [row.id]);
  return (
    <section class="card file-details" aria-label={fullName(row)}>
      <h2>{plain(row.filename)}</h2>
      <p>
        <a class="button" href={contentUrl(record.id, version.id)} download={row.filename}>
          Download
        </a>{" "}
        <span class="muted">
          {bytes(version.sizeBytes)} · {version.contentType} · <Time at={version.uploadedAt} />
        </span>{" "}
        <Tags tags={version.aliases} /> <Tags tags={version.tags} />
      </p>
      {version.description && <p>{plain(version.description)}</p>}
      {versions.length > 1 && (
        <label class="field">
          <span>Version</span>
          <select
            value={version.id}
            onChange={(event) => {
              const chosen = versions.find((each) => each.id === event.currentTarget.value) ?? version;
              setVersion(chosen);
              setQuery({ alias: chosen.aliases[0] ?? null });
            }}
          >
            {versions.map((each, at) => (
              <option key={each.id} value={each.id}>
                {versions.length - at}: {localTime(each.uploadedAt)}
                {each.aliases.length > 0 && ` (${plain(each.aliases.join(", "))})`}
              </option>
            ))}
          </select>
        </label>
      )}
      <Preview key={version.id} experimentId={record.id} row={version} />
      <p class="muted checksum">SHA-256 {version.checksum}</p>
      {version.metadata && (
        <table class="pairs">
          <tbody>
            {Object.entries(version.metadata).map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{plain(name)}</th>
                <td>{text(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

/** Return the first thousand of the files that are asked for. */
async function first(
  experimentId: string,
  asked: Record<string, string | boolean>,
  signal: AbortSignal,
): Promise<Pick<Files, "data" | "total" | "hasMore">> {
  const data: FileRow[] = [];
  let [total, hasMore] = [0, false];
  for await (const page of pages<Files>(`experiments/${experimentId}/files`, { ...asked, limit: LIMIT }, signal)) {
    data.push(...page.data);
    ({ total, hasMore } = page);
    if (data.length >= LIMIT) break;
  }
  return { data, total, hasMore };
}
