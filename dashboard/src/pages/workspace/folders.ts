/** Owners, projects and folders as a tree, with how many runs are in each. */

import { pages } from "../../api/client";
import type { Experiments } from "../../api/types";
import { natural } from "../../ui/format";

export interface Folder {
  /** The segment of the prefix. */
  name: string;
  path: string;
  count: number;
  folders: Folder[];
}

const PAGE = 1000;

/** Yield the tree, with what is known so far: of a hundred thousand runs it takes a while. */
export async function* folderTree(signal: AbortSignal): AsyncGenerator<Folder> {
  const tree = new Tree();
  for await (const page of pages<Experiments>("experiments", { limit: PAGE }, signal)) {
    for (const { prefix } of page.data) tree.add(prefix);
    yield tree.sorted();
  }
}

export class Tree {
  private readonly root: Folder = { name: "", path: "", count: 0, folders: [] };
  private readonly known = new Map<string, Folder>([["", this.root]]);

  add(prefix: string): void {
    this.root.count += 1;
    let parent = this.root;
    for (const name of prefix.split("/").slice(0, -1)) {
      const path = parent.path ? `${parent.path}/${name}` : name;
      let folder = this.known.get(path);
      if (!folder) {
        folder = { name, path, count: 0, folders: [] };
        this.known.set(path, folder);
        parent.folders.push(folder);
      }
      folder.count += 1;
      parent = folder;
    }
  }

  /** A copy, each folder with its folders in the order of their names. */
  sorted(folder = this.root): Folder {
    const byName = (a: Folder, b: Folder): number => natural(a.name, b.name);
    return { ...folder, folders: folder.folders.map((each) => this.sorted(each)).sort(byName) };
  }
}
