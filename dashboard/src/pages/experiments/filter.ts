/** What the search field says: words, and comparisons such as `lr < 0.01`, `train/loss<0.5`, `tag:baseline`. */

export type Operator = "=" | "!=" | "<" | "<=" | ">" | ">=";

export interface Comparison {
  name: string;
  operator: Operator;
  value: string;
}

export interface Filter {
  /** In lower case; all of them must be part of the prefix, a tag or the readme. */
  words: string[];
  comparisons: Comparison[];
}

const COMPARISON = /("(?:[^"\\]|\\.)*"|[^\s<>=!:"]+)\s*(<=|>=|!=|==|=|<|>|:)\s*("(?:[^"\\]|\\.)*"|[^\s<>=!"]+)/g;

export function parseFilter(text: string): Filter {
  const comparisons: Comparison[] = [];
  const rest = text.replace(COMPARISON, (_, name: string, operator: string, value: string) => {
    comparisons.push({
      name: unquoted(name),
      operator: operator === ":" || operator === "==" ? "=" : (operator as Operator),
      value: unquoted(value),
    });
    return " ";
  });
  return { words: rest.toLowerCase().split(/\s+/).filter(Boolean), comparisons };
}

/**
 * Whether a value is what is asked for: as numbers where a number is asked for, else as texts in any case.
 *
 * What is no number is neither above nor below one, and NaN is so of nothing.
 */
export function holds(value: unknown, { operator, value: wanted }: Comparison): boolean {
  if (value === null || value === undefined) return operator === "!=";
  if (Array.isArray(value)) {
    const found = value.some((each) => String(each).toLowerCase() === wanted.toLowerCase());
    return operator === "!=" ? !found : operator === "=" && found;
  }
  const order = orderOf(value, wanted);
  if (order === null) return operator === "!=";
  switch (operator) {
    case "=":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
  }
}

/** Below 0, 0 or above 0, as the value is below, at or above what is asked for; null where it is none of these. */
function orderOf(value: unknown, wanted: string): number | null {
  const other = wanted.trim() === "" ? Number.NaN : Number(wanted);
  if (Number.isNaN(other)) return compare(String(value).toLowerCase(), wanted.toLowerCase());
  const number = typeof value === "boolean" || value === "" ? Number.NaN : Number(value);
  return Number.isNaN(number) ? null : number - other;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}
