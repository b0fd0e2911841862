/**
 * What the search field says: words, patterns of prefixes, and comparisons such as `lr < 0.01`, `max(val/acc)>0.9`, `tag:sweep-*`.
 *
 * Python has the same in `ml_dash/query/listing`; `tests/query/listing/filter_cases.json` holds the two together.
 */

export type Operator = "=" | "!=" | "<" | "<=" | ">" | ">=";

/** A part of what was typed: where it begins, and behind its last character. */
export interface Place {
  start: number;
  stop: number;
}

export type Aggregate = "last" | "first" | "min" | "max" | "mean" | "count" | "best";

export interface Comparison extends Place {
  /** As it is written; of an aggregate what is in the parentheses. */
  name: string;
  operator: Operator;
  value: string;
  /** Of `max(val/acc)`; null without. */
  aggregate: Aggregate | null;
  /** Whether the value has a star that stands for any characters. */
  isPattern: boolean;
}

/** What cannot be understood, and why. */
export interface Problem extends Place {
  message: string;
}

export interface Filter {
  /** In lower case; all of them must be part of the prefix, a tag, the readme or the note. */
  words: string[];
  /** Patterns of prefixes, all of which must fit. */
  globs: string[];
  comparisons: Comparison[];
  problems: Problem[];
}

interface Token extends Place {
  kind: "word" | "quoted" | "operator" | "open" | "glob" | "call";
  /** Without quotes; of a call the name in the parentheses. */
  text: string;
  aggregate: Aggregate | null;
}

const OPERATORS: Record<string, Operator> = {
  "=": "=", "==": "=", ":": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
};
/** With those of other languages, so that they can be refused by name. */
const OPERATOR = /(?:[<>=]|[!~]=)[<>=!~]*|~(?=\s)|:/y;
/** A word is looked for, or names something, and ends where an operator may begin. A value may have colons: it may be a time. */
const [WORD, VALUE] = [/(?:(?![!~]=)[^\s<>=:"])+/y, /(?:(?!!=)[^\s<>="])+/y];
/** With a star before any operator it is a pattern of prefixes, of which = and : are a part. */
const GLOB = /(?:(?![!~]=)[^\s<>=:"*])*\*(?:(?![!~]=)[^\s<>"])*/y;
const CALL =
  /(last|first|min|max|mean|count|best)\(\s*(?:"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([^\s"'<>=:]+))\s*\)(?=[\s<>=!~:,;]|$)/iy;
const QUOTES = /^(["'])(?:\\.|(?!\1)[^\\])*(\1|$)/s;
/** All parts must hold anyway. */
const AND = /^(and|&&?|,)$/i;
const REFUSED = /^(or|\|\|?|not)$/i;

export function parseFilter(text: string): Filter {
  const filter: Filter = { words: [], globs: [], comparisons: [], problems: [] };
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
    } else if (token.kind === "call") {
      wrong(token, token, `${told(token)} needs a comparison behind it, as ${written(token)} > 0.9`);
    } else if (token.kind === "glob") filter.globs.push(token.text);
    else if (token.kind === "word" && REFUSED.test(token.text)) {
      wrong(token, token, `there is no ${told(token)} here: all conditions must hold; put the word in quotes to look for it`);
    } else if (token.kind !== "word" || !AND.test(token.text)) filter.words.push(token.text.toLowerCase());
  }
  return filter;
}

/** A comparison; where the number stands first, the other way round. */
function compared(left: Token, operator: Operator, right: Token): Comparison {
  const place = { start: left.start, stop: right.stop };
  if (!isNumber(left) || isNumber(right)) {
    const value = written(right);
    const isPattern = right.kind === "word" && value.includes("*") && (operator === "=" || operator === "!=");
    return { name: left.text, operator, value, aggregate: left.aggregate, isPattern, ...place };
  }
  const turned = operator.replace(/[<>]/, (sign) => (sign === "<" ? ">" : "<")) as Operator;
  return { name: right.text, operator: turned, value: left.text, aggregate: right.aggregate, isPattern: false, ...place };
}

function isNumber({ kind, text }: Token): boolean {
  return kind === "word" && numberOf(text) !== null;
}

function told(token: Token): string {
  return `‘${written(token)}’`;
}

function written({ text, aggregate }: Token): string {
  return aggregate ? `${aggregate}(${text})` : text;
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  const found = (kind: Token["kind"], said: string, stop: number, aggregate: Aggregate | null = null): void =>
    void tokens.push({ kind, text: said, aggregate, start: at, stop });
  while (at < text.length) {
    const isValue = tokens.at(-1)?.kind === "operator";
    const quoted = QUOTES.exec(text.slice(at));
    const operator = quoted ? null : take(OPERATOR);
    const call = quoted || operator ? null : take(CALL);
    const whole = quoted ?? operator ?? call;
    const stop = at + (whole?.[0].length ?? 0);
    if (quoted) {
      found(quoted[2] ? "quoted" : "open", unescaped(quoted[0].slice(1, quoted[2] ? -1 : undefined)), stop);
    } else if (operator) found("operator", operator[0], stop);
    else if (call) {
      const inside = call[4] ?? unescaped(call[2] ?? call[3] ?? "");
      found("call", inside, stop, call[1]!.toLowerCase() as Aggregate);
    } else {
      const glob = isValue ? null : take(GLOB);
      const word = (glob ?? take(isValue ? VALUE : WORD))?.[0];
      // a list of conditions, as people write one
      const said = isValue || glob ? word?.replace(/[,;]+$/, "") : word;
      if (said) found(glob ? "glob" : "word", said, at + said.length);
      at += word?.length ?? 1;
      continue;
    }
    at = stop;
  }
  return tokens;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, "$1");
}

const INFINITY = /^([+-]?)(?:inf|infinity|∞)$/i;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/** The number that a text stands for; null where it is none. */
export function numberOf(text: string): number | null {
  const said = text.trim().replaceAll("−", "-");
  const infinite = INFINITY.exec(said);
  if (infinite) return infinite[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return NUMBER.test(said) ? Number(said) : null;
}

/**
 * Whether a value is what is asked for: as numbers where a number is asked for, else as texts in any case.
 *
 * What is no number is neither above nor below one, nor the other way round, and NaN is so of nothing. Of several values, as
 * of tags, one must be equal, or with `!=` none. What is not there is only unequal.
 */
export function holds(
  value: unknown,
  { operator, value: wanted, isPattern }: Pick<Comparison, "operator" | "value" | "isPattern">,
): boolean {
  if (value === null || value === undefined) return operator === "!=";
  if (Array.isArray(value)) {
    const found = value.some((each) => (isPattern ? fits(each, wanted) : lower(each) === wanted.toLowerCase()));
    return found === (operator === "=");
  }
  if (isPattern) return fits(value, wanted) === (operator === "=");
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

/** Whether a value is there, or its text fits a pattern: between two stars the first place counts, and is never gone back on. */
function fits(value: unknown, pattern: string): boolean {
  if (/^\*+$/.test(pattern)) return true;
  const text = textOf(value);
  if (text === null) return false;
  const [first, ...others] = pattern.toLowerCase().split("*") as [string, ...string[]];
  const last = others.pop() ?? "";
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > text.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}

const WHOLE = /^[+-]?\d+$/;

/** Below 0, 0 or above 0, as the value is below, at or above what is asked for; null where it is none of these. */
function orderOf(value: unknown, wanted: string): number | null {
  const other = numberOf(wanted);
  if (other === null) {
    const text = textOf(value);
    return text === null ? null : compare(text, wanted.toLowerCase());
  }
  if (typeof value === "boolean") return null;
  // an integer that no double holds is a bigint: each of its digits counts
  if (WHOLE.test(String(value)) && WHOLE.test(wanted)) return compare(bigOf(String(value)), bigOf(wanted));
  const number = typeof value === "number" ? value : typeof value === "bigint" ? Number(value) : numberOf(String(value));
  return number === null || Number.isNaN(number) ? null : compare(number, other);
}

/** A value as the text by which it is compared; null of a number other than NaN. */
function textOf(value: unknown): string | null {
  if (typeof value === "number") return Number.isNaN(value) ? "nan" : null;
  return typeof value === "bigint" ? null : lower(value);
}

function lower(value: unknown): string {
  return (typeof value === "string" ? value : JSON.stringify(value) ?? "").toLowerCase();
}

function bigOf(digits: string): bigint {
  return BigInt(digits.replace(/^\+/, ""));
}

function compare<T extends string | number | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Return what tells which prefixes a pattern means: `*`, `?` and `[…]` within a segment, `**` across; without a slash, names. */
export function globMatcher(pattern: string): (prefix: string) => boolean {
  const text = pattern.replace(/^\/+/, "");
  const segments = (pattern.includes("/") || text === "**" ? text : `**/${text}`).split("/");
  if (segments.at(-1) === "**") segments.push("*"); // at the end, at least a name
  const wanted = segments.map((each) => (each === "**" ? null : segmentOf(each)));
  return (prefix) => fitsSegments(wanted, prefix.split("/"));
}

/** Whether each segment is wanted in its turn; null stands for any number. Only the last one of these has to give way. */
function fitsSegments(wanted: readonly (RegExp | null)[], segments: readonly string[]): boolean {
  let [at, turn, many, taken] = [0, 0, -1, 0];
  while (at < segments.length) {
    const pattern = wanted[turn];
    if (pattern === null) [many, taken, turn] = [turn, at, turn + 1];
    else if (pattern?.test(segments[at]!)) [at, turn] = [at + 1, turn + 1];
    else if (many >= 0) {
      taken += 1;
      [at, turn] = [taken, many + 1];
    } else return false;
  }
  return wanted.slice(turn).every((each) => each === null);
}

/** What stands between two stars is found where it comes first: a lookahead keeps it, so that no pattern takes long. */
function segmentOf(pattern: string): RegExp {
  const parts = [""];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!;
    const end = pattern.indexOf("]", at + (/[!^]/.test(pattern[at + 1] ?? "") ? 3 : 2));
    if (character === "[" && end > 0) {
      parts[parts.length - 1] += choiceOf(pattern.slice(at + 1, end));
      at = end;
    } else if (character === "*") parts.push("");
    else parts[parts.length - 1] += character === "?" ? "." : escaped(character);
  }
  const [first, ...others] = parts as [string, ...string[]];
  const last = others.pop();
  const kept = others.map((part, number) => `(?=(?<p${number}>.*?${part}))\\k<p${number}>`).join("");
  return new RegExp(`^${first}${kept}${last === undefined ? "" : `.*${last}`}$`, "s");
}

function choiceOf(content: string): string {
  const negated = /^[!^]/.test(content);
  const members = (negated ? content.slice(1) : content).replace(/(.)-(.)|[^]/g, (whole, first?: string, last?: string) => {
    if (first === undefined || last === undefined) return escaped(whole);
    return first <= last ? `${escaped(first)}-${escaped(last)}` : "";
  });
  if (negated) return `[^/${members}]`;
  return members ? `[${members}]` : "(?!)";
}

function escaped(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
