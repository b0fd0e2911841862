/** Where the workspace is: owner, project, folder, each a way up, and a tree to go elsewhere. */

import { BellPlus, ChevronDown } from "lucide-preact";
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { useLoad } from "../../state/poll";
import { mayWrite, session } from "../../state/session";
import { folderPath, rulesPath } from "../../state/url";
import { Link } from "../../ui/basic";
import { Crumbs } from "../../ui/Crumbs";
import { whole } from "../../ui/format";
import { Popover } from "../../ui/Popover";
import { plain } from "../../ui/terminal";
import { Bell } from "./Bell";
import { type Folder, folderTree } from "./folders";
import { view } from "./view";
import { ViewMenu } from "./ViewMenu";

export function WorkspaceHead(): JSX.Element {
  const parts = view.value.folder.split("/").filter(Boolean);
  return (
    <>
    <Crumbs above={parts.slice(0, -1)} {...(parts.length ? { here: parts.at(-1)! } : {})}>
      {!parts.length && <b>All experiments</b>}
      <Popover label="Other folders" icon={<ChevronDown />} class="shown">
        <Folders />
      </Popover>
    </Crumbs>
    <Bell />
    {mayRule(view.value.folder) && (
      <Link class="icon-link" href={rulesPath(view.value.folder)} aria-label="Rules of alerts" title="Rules: whom to tell of what">
        <BellPlus />
      </Link>
    )}
    <ViewMenu />
    </>
  );
}

/** Whether who is signed in may see and make rules of a folder; of all, where there is one to make them of. */
function mayRule(folder: string): boolean {
  return folder ? mayWrite(folder.split("/")[0]!) : (session.value?.writes.length ?? 0) > 0;
}

function Folders(): JSX.Element {
  const [root, setRoot] = useState<Folder | null>(null);
  const [problem, setProblem] = useState("");
  useLoad(
    async (signal) => {
      for await (const tree of folderTree(signal)) setRoot(tree);
    },
    [],
    { onError: (error) => setProblem(error?.message ?? "") },
  );
  if (problem) return <p class="problem">{problem}</p>;
  if (!root) return <p class="muted">Loading…</p>;
  return (
    <div class="folders">
      <Entry folder={{ ...root, name: "All experiments" }} />
      <Branch folders={root.folders} depth={0} />
    </div>
  );
}

function Branch({ folders, depth }: { folders: readonly Folder[]; depth: number }): JSX.Element {
  return (
    <ul>
      {folders.map((folder) => (
        <Twig key={folder.path} folder={folder} depth={depth} />
      ))}
    </ul>
  );
}

function Twig({ folder, depth }: { folder: Folder; depth: number }): JSX.Element {
  const chosen = view.value.folder;
  const [toggled, setToggled] = useState<boolean | null>(null);
  const isOpen = toggled ?? (depth < 1 || `${chosen}/`.startsWith(`${folder.path}/`));
  return (
    <li>
      <div class="folder-row">
        {folder.folders.length > 0 && (
          <button type="button" class="quiet" aria-expanded={isOpen} aria-label={`Folders in ${folder.path}`} onClick={() => setToggled(!isOpen)}>
            {isOpen ? "▾" : "▸"}
          </button>
        )}
        <Entry folder={folder} />
      </div>
      {isOpen && folder.folders.length > 0 && <Branch folders={folder.folders} depth={depth + 1} />}
    </li>
  );
}

function Entry({ folder }: { folder: Folder }): JSX.Element {
  return (
    <Link href={folderPath(folder.path)} aria-current={folder.path === view.value.folder ? "page" : undefined}>
      <span>{plain(folder.name)}</span> <span class="count">{whole(folder.count)}</span>
    </Link>
  );
}
