/** A text in Markdown, with the images of the run's own files in it. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import { contentUrl, get } from "../../api/client";
import type { Files } from "../../api/types";
import { useLoad } from "../../state/poll";
import { fullName } from "./files";
import { ownImages } from "./images";
import { markdownHtml, type OwnFiles } from "./markdown";

/** More than that are told by their names. */
const IMAGES_MAX = 100;

export function MarkdownText(props: { record: { id: string }; text: string }): JSX.Element {
  const { record, text } = props;
  const [files, setFiles] = useState<OwnFiles>(new Map());
  const names = useMemo(() => ownImages(text).slice(0, IMAGES_MAX), [text]);
  const html = useMemo(() => markdownHtml(text, files), [text, files]);
  useLoad(
    async (signal) => {
      const found = await Promise.all(
        names.map(async (name) => [name, await addressOf(record.id, name, signal)] as const),
      );
      if (names.length) setFiles(new Map(found));
    },
    [record.id, names.join("\n")],
  );
  return <div class="markdown" dangerouslySetInnerHTML={{ __html: html }} />;
}

async function addressOf(id: string, name: string, signal: AbortSignal): Promise<string | null> {
  const { data } = await get<Files>(`experiments/${id}/files`, { path: name, limit: 1 }, signal);
  const row = data.find((each) => fullName(each) === name && each.available);
  return row ? contentUrl(id, row.id) : null;
}
