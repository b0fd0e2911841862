/** A diff, with what was added and what was taken away in colours. */

import type { JSX } from "preact";

import { plain } from "../../../ui/terminal";

const LINES_MAX = 5000;

export function DiffText(props: { text: string; isCut?: boolean }): JSX.Element {
  const lines = props.text.split("\n");
  return (
    <>
      <pre class="diff" tabIndex={0} aria-label="Changes against the commit">
        {lines.slice(0, LINES_MAX).map((line, at) => (
          <span key={at} class={kindOf(line)}>
            {`${plain(line)}\n`}
          </span>
        ))}
      </pre>
      {(props.isCut || lines.length > LINES_MAX) && <p class="muted">The rest was too long.</p>}
    </>
  );
}

function kindOf(line: string): string | undefined {
  if (/^(diff |index |--- |\+\+\+ )/.test(line)) return "diff-head";
  if (line.startsWith("@@")) return "diff-place";
  if (line.startsWith("+")) return "diff-added";
  return line.startsWith("-") ? "diff-removed" : undefined;
}
