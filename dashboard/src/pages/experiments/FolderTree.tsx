/** The tree at the side of the list. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";

import type { ListedExperiment } from "../../api/types";
import { whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { type Folder, folderTree, isIn } from "./tree";

export function FolderTree(props: {
  records: Iterable<ListedExperiment>;
  chosen: string;
  onChoose: (path: string) => void;
}): JSX.Element {
  const root = useMemo(() => folderTree(props.records), [props.records]);
  return (
    <nav class="tree" aria-label="Folders">
      <Entry folder={{ ...root, name: "All experiments" }} chosen={props.chosen} onChoose={props.onChoose} />
      <Branch folders={root.folders} chosen={props.chosen} onChoose={props.onChoose} depth={0} />
    </nav>
  );
}

interface BranchProps {
  folders: Folder[];
  chosen: string;
  onChoose: (path: string) => void;
  depth: number;
}

function Branch(props: BranchProps): JSX.Element {
  return (
    <ul>
      {props.folders.map((folder) => (
        <Twig key={folder.path} {...props} folder={folder} />
      ))}
    </ul>
  );
}

function Twig({ folder, chosen, onChoose, depth }: BranchProps & { folder: Folder }): JSX.Element {
  const [toggled, setToggled] = useState<boolean | null>(null);
  const open = toggled ?? (depth < 1 || isIn(`${chosen}/`, folder.path));
  return (
    <li>
      <div class="tree-row">
        {folder.folders.length > 0 && (
          <button
            type="button"
            class="quiet tree-toggle"
            aria-expanded={open}
            aria-label={`Folders in ${folder.path}`}
            onClick={() => setToggled(!open)}
          >
            {open ? "▾" : "▸"}
          </button>
        )}
        <Entry folder={folder} chosen={chosen} onChoose={onChoose} />
      </div>
      {open && folder.folders.length > 0 && (
        <Branch folders={folder.folders} chosen={chosen} onChoose={onChoose} depth={depth + 1} />
      )}
    </li>
  );
}

function Entry(props: { folder: Folder; chosen: string; onChoose: (path: string) => void }): JSX.Element {
  const { folder } = props;
  return (
    <button
      type="button"
      class="tree-entry"
      aria-current={folder.path === props.chosen ? "true" : undefined}
      onClick={() => props.onChoose(folder.path)}
    >
      <span>{plain(folder.name)}</span>
      <span class="count">{whole(folder.count)}</span>
    </button>
  );
}
