/** A look into a file: pictures, videos and texts are shown, and nothing is ever run. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { contentUrl, getText } from "../../api/client";
import { indented } from "../../api/json";
import type { File as FileRow } from "../../api/types";
import { useLoad } from "../../state/poll";
import { bytes } from "../../ui/format";
import { escaped, TURNING } from "../../ui/terminal";
import { TerminalText } from "../../ui/TerminalText";

const TEXT_BYTES = 256 * 1024;
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const VIDEOS = ["video/mp4", "video/webm"];

const TEXTS = /^(text\/.*|application\/(json|jsonl|x-ndjson|yaml|x-yaml|toml|x-sh|xml|javascript|sql))$/;

type Kind = "image" | "video" | "text" | "none";

export function kindOf(contentType: string): Kind {
  if (IMAGES.includes(contentType)) return "image";
  if (VIDEOS.includes(contentType)) return "video";
  return TEXTS.test(contentType) ? "text" : "none";
}

export function Preview(props: {
  experimentId: string;
  row: FileRow;
  /** Pixels of an image, where they are known. */
  size?: { width: number; height: number };
}): JSX.Element {
  const { experimentId, row } = props;
  const [failed, setFailed] = useState(false);
  const url = contentUrl(experimentId, row.id);
  const kind = kindOf(row.contentType);
  if (!row.available) return <p class="problem">This file has not been uploaded yet.</p>;
  if (failed) return <p class="problem">This file cannot be shown as {row.contentType}.</p>;
  if (kind === "image") return <img class="preview" src={url} alt={row.filename} {...props.size} onError={() => setFailed(true)} />;
  if (kind === "video") return <video class="preview" src={url} controls onError={() => setFailed(true)} />;
  if (kind === "text") return <TextPreview url={url} row={row} />;
  return <p class="muted">No preview for {row.contentType}.</p>;
}

function TextPreview({ url, row }: { url: string; row: FileRow }): JSX.Element {
  const [text, setText] = useState<string | null>(null);
  useLoad(
    async (signal) => {
      if (!row.sizeBytes) return setText("");
      const found = await getText(url, signal, { Range: `bytes=0-${TEXT_BYTES - 1}` });
      setText(row.contentType === "application/json" && row.sizeBytes <= TEXT_BYTES ? indented(found) : found);
    },
    [url],
    { onError: (error) => error && setText(error.message) },
  );
  return (
    <>
      <pre class="code preview-text" tabIndex={0}>
        {text === null ? "Loading…" : <Shown text={text} />}
      </pre>
      {row.sizeBytes > TEXT_BYTES && (
        <p class="muted">
          The first {bytes(TEXT_BYTES)} of {bytes(row.sizeBytes)}.
        </p>
      )}
    </>
  );
}

/** Colours of a log are kept; else the text is left as it is, but for what would turn its direction. */
function Shown({ text }: { text: string }): JSX.Element {
  return text.includes("\x1b") ? <TerminalText text={text} /> : <>{text.replace(TURNING, escaped)}</>;
}
