/** Names under which runs can be told apart: the shortest ends of their prefixes that differ. */
export function shortNames(prefixes: readonly string[]): string[] {
  const parts = prefixes.map((prefix) => prefix.split("/"));
  const longest = Math.max(0, ...parts.map((each) => each.length));
  for (let length = 1; length <= longest; length++) {
    const names = parts.map((each) => each.slice(-length).join("/"));
    if (new Set(names).size === names.length) return names;
  }
  return [...prefixes];
}
