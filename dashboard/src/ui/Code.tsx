/** Code to copy. */

import { Check, Copy } from "lucide-preact";
import type { JSX } from "preact";
import { useState } from "preact/hooks";

export function Code({ text }: { text: string }): JSX.Element {
  const [isCopied, setCopied] = useState(false);
  async function copy(): Promise<void> {
    await navigator.clipboard.writeText(text);
    setCopied(true);
  }
  return (
    <div class="code-box">
      <pre class="code" tabIndex={0}>
        <code>{text}</code>
      </pre>
      {/* without https a browser has no clipboard for pages, but of its own machine */}
      {"clipboard" in navigator && (
        <button type="button" class="icon shown" aria-label={isCopied ? "Copied" : "Copy"} title={isCopied ? "Copied" : "Copy"} onClick={() => void copy()}>
          {isCopied ? <Check /> : <Copy />}
        </button>
      )}
    </div>
  );
}
