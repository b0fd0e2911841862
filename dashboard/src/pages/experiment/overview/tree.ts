/** Parameters, which have dotted names, as a tree. */

import { natural, text } from "../../../ui/format";

export interface ParamNode {
  /** The last part of its name. */
  name: string;
  path: string;
  /** Whether there is a parameter of this very name. */
  isSet: boolean;
  value: unknown;
  children: ParamNode[];
  /** How many parameters are at it and below. */
  count: number;
}

export interface ParamRow {
  node: ParamNode;
  depth: number;
  open: boolean;
}

/** Put parameters into a tree by the parts of their names, in the order in which people count. */
export function paramTree(params: Readonly<Record<string, unknown>>): ParamNode[] {
  const root: ParamNode = { name: "", path: "", isSet: false, value: undefined, children: [], count: 0 };
  const known = new Map<string, ParamNode>([["", root]]);
  for (const [path, value] of Object.entries(params)) {
    let node = root;
    root.count += 1;
    const parts = path.split(".");
    parts.forEach((name, at) => {
      const here = parts.slice(0, at + 1).join(".");
      // of a name that begins with a dot, the first part is empty
      let next = known.get(`.${here}`);
      if (!next) {
        next = { name, path: here, isSet: false, value: undefined, children: [], count: 0 };
        known.set(`.${here}`, next);
        node.children.push(next);
      }
      next.count += 1;
      node = next;
    });
    node.isSet = true;
    node.value = value;
  }
  for (const node of known.values()) node.children.sort((a, b) => natural(a.name, b.name));
  return root.children;
}

/** Return the rows of a tree that are to be seen: what has all words in its name or its value, else what is not folded. */
export function paramRows(nodes: readonly ParamNode[], folded: ReadonlySet<string>, search: string): ParamRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found: ParamRow[] = [];
  const fits = (node: ParamNode): boolean => {
    const said = `${node.path}\n${node.isSet ? text(node.value) : ""}`.toLowerCase();
    return words.every((word) => said.includes(word));
  };
  const has = (node: ParamNode): boolean => (node.isSet && fits(node)) || node.children.some(has);
  const add = (node: ParamNode, depth: number): void => {
    if (words.length && !has(node)) return;
    const open = words.length > 0 || !folded.has(node.path);
    found.push({ node, depth, open });
    if (open) for (const child of node.children) add(child, depth + 1);
  };
  for (const node of nodes) add(node, 0);
  return found;
}
