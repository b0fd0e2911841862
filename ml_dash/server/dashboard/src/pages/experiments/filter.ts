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

/** Whether a value is what is asked for: as numbers where both are, else as texts in any case. */
export function holds(value: unknown, { operator, value: wanted }: Comparison): boolean {
  if (value === null || value === undefined) return operator === "!=";
  if (Array.isArray(value)) {
    const found = value.some((each) => String(each).toLowerCase() === wanted.toLowerCase());
    return operator === "!=" ? !found : operator === "=" && found;
  }
  const number = typeof value === "boolean" ? Number.NaN : Number(value);
  const other = Number(wanted);
  const numeric = wanted.trim() !== "" && !Number.isNaN(number) && !Number.isNaN(other) && value !== "";
  const order = numeric ? number - other : compare(String(value).toLowerCase(), wanted.toLowerCase());
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

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}
