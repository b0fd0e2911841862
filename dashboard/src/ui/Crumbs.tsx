/** Where a page is: the way up through its folders, each a link. */

import type { ComponentChildren, JSX } from "preact";

import { folderPath } from "../state/url";
import { Link } from "./basic";
import { plain } from "./terminal";

export function Crumbs(props: {
  /** The folders above. */
  above: readonly string[];
  /** What the page itself is called; nothing where it says so below. */
  here?: string;
  children?: ComponentChildren;
}): JSX.Element {
  const { above, here } = props;
  return (
    <nav class="head-crumbs" aria-label="Folders">
      {(above.length > 0 || here !== undefined) && <Link href="/">Experiments</Link>}
      {above.map((name, at) => (
        <span key={at}>
          <Slash />
          <Link href={folderPath(above.slice(0, at + 1).join("/"))}>{plain(name)}</Link>
        </span>
      ))}
      {here !== undefined && (
        <span>
          <Slash />
          <b>{plain(here)}</b>
        </span>
      )}
      {props.children}
    </nav>
  );
}

function Slash(): JSX.Element {
  return (
    <span class="muted slash" aria-hidden="true">
      /
    </span>
  );
}
