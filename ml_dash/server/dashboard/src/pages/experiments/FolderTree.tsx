/** The tree at the side of the list. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import type { ExperimentRecord } from "../../api/types";
import { whole } from "../../ui/format";
import { type Folder, folderTree, isIn } from "./tree";

export function FolderTree(props: {
  records: Iterable<ExperimentRecord>;
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

function Branch({ folders, chosen, onChoose, depth }: BranchProps): JSX.Element {
  return (
    <ul>
      {folders.map((folder) => (
        <li key={folder.path}>
          {folder.folders.length ? (
            <details open={depth < 1 || isIn(`${chosen}/`, folder.path)}>
              <summary>
                <Entry folder={folder} chosen={chosen} onChoose={onChoose} />
              </summary>
              <Branch folders={folder.folders} chosen={chosen} onChoose={onChoose} depth={depth + 1} />
            </details>
          ) : (
            <Entry folder={folder} chosen={chosen} onChoose={onChoose} />
          )}
        </li>
      ))}
    </ul>
  );
}

function Entry(props: { folder: Folder; chosen: string; onChoose: (path: string) => void }): JSX.Element {
  const { folder } = props;
  return (
    <button
      type="button"
      class="tree-entry"
      aria-current={folder.path === props.chosen ? "true" : undefined}
      onClick={(event) => {
        event.preventDefault();
        props.onChoose(folder.path);
      }}
    >
      <span>{folder.name}</span>
      <span class="count">{whole(folder.count)}</span>
    </button>
  );
}
