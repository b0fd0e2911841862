/** JSON in which every number is what it was: NaN and infinities, and integers of any length. */

/** What the server writes for what JSON lacks, and what stands here for an integer that no double holds. */
const [FLOAT, INTEGER] = ["__float__", "__integer__"];
/** Strings, to be passed over, and whole numbers. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|[-+.\deE]+/gs;
/** Strings, to be passed over, and what JSON lacks. */
const STRING_OR_LACKING = /"(?:[^"\\]|\\.)*"|NaN|-?Infinity/gs;
const LONG_INTEGER = /^-?\d{16,}$/;
/** Not the digits of a fraction: those of most numbers that were reckoned are as many, and to look at each takes long. */
const HAS_LONG_INTEGER = /(?:^|[^\d.eE+])\d{16,}(?![\d.eE])/;

/**
 * Parse JSON in which {"__float__": "NaN"} stands for what JSON lacks.
 *
 * @param exact Whether integers beyond what a double holds become bigints; else they are rounded.
 */
export function decode(text: string, exact = true): unknown {
  const long = exact && HAS_LONG_INTEGER.test(text);
  const given = long ? text.replace(STRING_OR_NUMBER, (found) => (LONG_INTEGER.test(found) ? marked(found) : found)) : text;
  if (!long && !text.includes(`"${FLOAT}"`)) return JSON.parse(text);
  return JSON.parse(given, (_, value: unknown) => {
    if (typeof value !== "object" || value === null) return value;
    if (FLOAT in value) return Number(value[FLOAT as keyof typeof value]);
    return INTEGER in value ? BigInt(String(value[INTEGER as keyof typeof value])) : value;
  });
}

function marked(digits: string): string {
  return Number.isSafeInteger(Number(digits)) ? digits : `{"${INTEGER}":"${digits}"}`;
}

/** Parse JSON as Python writes it: NaN and the infinities, as such there, become texts; those within texts stay as they are. */
export function parsePython(text: string): unknown {
  return JSON.parse(text.replace(STRING_OR_LACKING, (found) => (found.startsWith('"') ? found : `"${found}"`)));
}

/** Write a value as Python does: NaN and infinities by name, bigints with all digits; on one line where there is no indent. */
export function encode(value: unknown, indent = 0, depth = 0): string {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const colon = indent ? ": " : ":";
  const items = Array.isArray(value)
    ? value.map((each) => encode(each, indent, depth + 1))
    : Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}${colon}${encode(each, indent, depth + 1)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!items.length || !indent) return `${open}${items.join(",")}${close}`;
  const [inner, outer] = [depth + 1, depth].map((each) => `\n${" ".repeat(indent * each)}`);
  return `${open}${inner}${items.join(`,${inner}`)}${outer}${close}`;
}

/** Strings, signs, and everything else that stands together: numbers, words. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+|"/gs;

/** Indent JSON without a change to any of its keys and values; what is no JSON is returned as it is. */
export function indented(json: string, indent = 2): string {
  const open: string[] = [];
  let text = "";
  let before = "";
  for (const [token] of json.matchAll(TOKENS)) {
    const line = (): string => `\n${" ".repeat(indent * open.length)}`;
    if (token === '"') return json;
    if (token === "}" || token === "]") {
      if (open.pop() !== (token === "}" ? "{" : "[")) return json;
      text += before === "{" || before === "[" ? token : line() + token;
    } else if (token === ",") text += token;
    else if (token === ":") text += `${token} `;
    else {
      // two values one behind the other are no JSON; they may be lines of it
      if (before && before !== "," && before !== ":" && before !== "{" && before !== "[") return json;
      text += before === "," || before === "{" || before === "[" ? line() + token : token;
      if (token === "{" || token === "[") open.push(token);
    }
    before = token;
  }
  return open.length || !text ? json : text;
}
