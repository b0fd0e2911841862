/** Owners, projects and folders as a tree, with how many experiments are in each. */

import type { ListedExperiment } from "../../api/types";

export interface Folder {
  /** The segment of the prefix. */
  name: string;
  path: string;
  count: number;
  folders: Folder[];
}

export function folderTree(records: Iterable<ListedExperiment>): Folder {
  const root: Folder = { name: "", path: "", count: 0, folders: [] };
  const known = new Map<string, Folder>([["", root]]);
  for (const { prefix } of records) {
    root.count += 1;
    let parent = root;
    for (const name of prefix.split("/").slice(0, -1)) {
      const path = parent.path ? `${parent.path}/${name}` : name;
      let folder = known.get(path);
      if (!folder) {
        folder = { name, path, count: 0, folders: [] };
        known.set(path, folder);
        parent.folders.push(folder);
      }
      folder.count += 1;
      parent = folder;
    }
  }
  for (const folder of known.values()) folder.folders.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  return root;
}

export function isIn(prefix: string, folder: string): boolean {
  return !folder || prefix.startsWith(`${folder}/`);
}
