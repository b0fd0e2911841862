/** What the search field says: words, and comparisons such as `lr < 0.01`, `train/loss<0.5`, `tag:baseline`. */

export type Operator = "=" | "!=" | "<" | "<=" | ">" | ">=";

/** A part of what was typed: where it begins, and behind its last character. */
export interface Place {
  start: number;
  stop: number;
}

export interface Comparison extends Place {
  name: string;
  operator: Operator;
  value: string;
}

/** What cannot be understood, and why. */
export interface Problem extends Place {
  message: string;
}

export interface Filter {
  /** In lower case; all of them must be part of the prefix, a tag or the readme. */
  words: string[];
  comparisons: Comparison[];
  problems: Problem[];
}

interface Token extends Place {
  kind: "word" | "quoted" | "operator" | "open";
  text: string;
}

const OPERATORS: Record<string, Operator> = {
  "=": "=", "==": "=", ":": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
};
/** With those of other languages, so that they can be refused by name. */
const OPERATOR = /(?:[<>=]|[!~]=)[<>=!~]*|~(?=\s)|:/y;
/** A word is looked for, or names something, and ends where an operator may begin. A value may have colons: it may be a time. */
const [WORD, VALUE] = [/(?:(?![!~]=)[^\s<>=:"])+/y, /(?:(?!!=)[^\s<>="])+/y];
const QUOTES = /^(["'])(?:\\.|(?!\1)[^\\])*(\1|$)/s;
/** All parts must hold anyway. */
const AND = /^(and|&&?|,)$/i;
const REFUSED = /^(or|\|\|?|not)$/i;

export function parseFilter(text: string): Filter {
  const filter: Filter = { words: [], comparisons: [], problems: [] };
  const tokens = tokensOf(text);
  const wrong = (from: Place, to: Place, message: string): void =>
    void filter.problems.push({ start: from.start, stop: to.stop, message });
  for (let at = 0; at < tokens.length; at++) {
    const [token, next] = [tokens[at]!, tokens[at + 1]];
    if (token.kind === "open") wrong(token, token, "this quote is not closed");
    else if (token.kind === "operator") {
      const value = next && next.kind !== "operator" ? next : null;
      wrong(token, value ?? token, `${told(token)} needs a name before it`);
      if (value) at += 1;
    } else if (next?.kind === "operator") {
      const operator = OPERATORS[next.text];
      const value = tokens[at + 2];
      if (!operator) wrong(next, next, `${told(next)} is unknown: compare by =, !=, <, <=, > or >=`);
      else if (!value || value.kind === "operator") wrong(token, next, `${told(next)} needs a value behind it`);
      else if (value.kind === "open") wrong(value, value, "this quote is not closed");
      else {
        filter.comparisons.push(compared(token, operator, value));
        // lr in 0.01 < lr < 0.1 is a value, and then a name
        if (isNumber(token) && tokens[at + 3]?.kind === "operator") at += 1;
        else at += 2;
        continue;
      }
      // what is not understood is left out as a whole
      at += value && value.kind !== "operator" ? 2 : 1;
    } else if (token.kind === "word" && REFUSED.test(token.text)) {
      wrong(token, token, `there is no ${told(token)} here: all conditions must hold; put the word in quotes to look for it`);
    } else if (token.kind !== "word" || !AND.test(token.text)) filter.words.push(token.text.toLowerCase());
  }
  return filter;
}

/** A comparison; where the number stands first, the other way round. */
function compared(left: Token, operator: Operator, right: Token): Comparison {
  const place = { start: left.start, stop: right.stop };
  if (!isNumber(left) || isNumber(right)) return { name: left.text, operator, value: right.text, ...place };
  const turned = operator.replace(/[<>]/, (sign) => (sign === "<" ? ">" : "<")) as Operator;
  return { name: right.text, operator: turned, value: left.text, ...place };
}

function isNumber({ kind, text }: Token): boolean {
  return kind === "word" && numberOf(text) !== null;
}

function told(token: Token): string {
  return `‘${token.text}’`;
}

function tokensOf(text: string): Token[] {
  const found: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0] ?? null;
  };
  while (at < text.length) {
    const start = at;
    const quoted = QUOTES.exec(text.slice(at));
    const operator = quoted ? null : take(OPERATOR);
    const isValue = found.at(-1)?.kind === "operator";
    if (quoted) {
      at += quoted[0].length;
      const inside = quoted[0].slice(1, quoted[2] ? -1 : undefined).replace(/\\(.)/gs, "$1");
      found.push({ kind: quoted[2] ? "quoted" : "open", text: inside, start, stop: at });
    } else if (operator !== null) {
      at += operator.length;
      found.push({ kind: "operator", text: operator, start, stop: at });
    } else {
      const word = take(isValue ? VALUE : WORD);
      at += word?.length ?? 1;
      // a list of conditions, as people write one
      const text = isValue ? word?.replace(/[,;]+$/, "") : word;
      if (text) found.push({ kind: "word", text, start, stop: start + text.length });
    }
  }
  return found;
}

const INFINITY = /^([+-]?)(?:inf|infinity|∞)$/i;

/** The number that a text stands for; null where it is none. */
export function numberOf(text: string): number | null {
  const infinite = INFINITY.exec(text.trim().replace("−", "-"));
  if (infinite) return infinite[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const number = text.trim() === "" ? Number.NaN : Number(text);
  return Number.isNaN(number) ? null : number;
}

/**
 * Whether a value is what is asked for: as numbers where a number is asked for, else as texts in any case.
 *
 * What is no number is neither above nor below one, and NaN is so of nothing.
 */
export function holds(value: unknown, { operator, value: wanted }: Pick<Comparison, "operator" | "value">): boolean {
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

const WHOLE = /^-?\d+$/;

/** Below 0, 0 or above 0, as the value is below, at or above what is asked for; null where it is none of these. */
function orderOf(value: unknown, wanted: string): number | null {
  const other = numberOf(wanted);
  if (other === null) return compare(String(value).toLowerCase(), wanted.toLowerCase());
  if (typeof value === "boolean" || value === "") return null;
  // an integer that no double holds is a bigint: each of its digits counts
  if (WHOLE.test(String(value)) && WHOLE.test(wanted)) return compare(BigInt(String(value)), BigInt(wanted));
  const number = Number(value);
  return Number.isNaN(number) ? null : compare(number, other);
}

function compare<T extends string | number | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
