/** What to write to log a first run here; the page goes on by itself when its first row has come. */

import type { JSX } from "preact";

import { BASE } from "../../state/base";
import { session } from "../../state/session";
import { Code } from "../../ui/Code";
import { view } from "./view";

export function FirstRun(): JSX.Element {
  const { folder } = view.value;
  const isServer = session.value?.mode === "server";
  const place = folder.split("/").length > 1 ? folder : `${folder || "me"}/project`;
  const server = `${location.origin}${BASE}`;
  const code = [
    "from ml_dash import Experiment",
    "",
    `with Experiment("${place}/first-run"${isServer ? `, dash_url="${server}"` : ""}).run as exp:`,
    "    for step in range(100):",
    '        exp.metrics("train").log(step=step, loss=1 / (step + 1))',
  ].join("\n");
  return (
    <section class="first-run" aria-labelledby="first-run-title">
      <h1 id="first-run-title">Log a first run</h1>
      {isServer && (
        <>
          <p>On the machine that trains, sign in once:</p>
          <Code text={`ml-dash login ${server}`} />
        </>
      )}
      <p>{isServer ? "Then run this, there:" : "Run this in the directory in which ml-dash ui was started:"}</p>
      <Code text={code} />
      {!isServer && (
        <p class="muted">
          If it was started for another root than <code>.dash</code>, give that to <code>Experiment</code> as <code>dash_root=…</code>.
        </p>
      )}
      <p class="waiting-for" role="status">
        <span class="dot" aria-hidden="true" /> Waiting for its first row: this page goes on by itself.
      </p>
    </section>
  );
}
