/** Numbers, times and values as people read them. */

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const TICK_DIGITS = 17;
/** Up to here a number is easier to read written out than with an exponent. */
const PLAIN_LENGTH = 7;
const grouped = new Intl.NumberFormat("en");

/** "3 minutes ago"; a time ahead, which a wrong clock gives, is told as one. */
export function ago(iso: string, now: number): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  if (!Number.isFinite(seconds)) return iso;
  if (Math.abs(seconds) < 10) return "just now";
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return relative.format(Math.round(seconds), "second");
}

/** "1 h 02 min"; a negative one, which a wrong clock gives, is "–". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(Math.floor(seconds % 60))} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function bytes(size: number): string {
  if (size < 1000) return `${size} B`;
  for (const [unit, scale] of [["kB", 1e3], ["MB", 1e6], ["GB", 1e9]] as const) {
    if (size < scale * 1000) return `${(size / scale).toPrecision(3)} ${unit}`;
  }
  return `${(size / 1e12).toPrecision(3)} TB`;
}

export function whole(count: number): string {
  return grouped.format(count);
}

/** "1 run", "2 runs". */
export function several(count: number, what: string): string {
  return `${whole(count)} ${what}${count === 1 ? "" : "s"}`;
}

/** A number exactly as it was logged: the fewest digits that name it and no other. */
export function number(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return String(value);
}

/** A number in at most so many significant digits: for means, and where there is little room. */
export function rounded(value: number, digits = 10): string {
  return number(Number(value.toPrecision(digits)));
}

/** Texts for the ticks of an axis, with as many digits as it takes to tell each from the next. */
export function tickTexts(ticks: readonly number[]): string[] {
  const gaps = ticks.slice(1).map((tick, at) => Math.abs(tick - ticks[at]!));
  const step = Math.min(...gaps.filter((gap) => gap > 0), Number.POSITIVE_INFINITY);
  if (!Number.isFinite(step)) return ticks.map((tick) => rounded(tick, 4));
  const near = (written: string, tick: number): boolean => Math.abs(Number(written) - tick) < step / 100;
  const shortest = (write: (value: number, digits: number) => string): string[] => {
    for (let digits = 0; digits < TICK_DIGITS; digits++) {
      const texts = ticks.map((tick) => write(tick, digits));
      if (texts.every((each, at) => near(each, ticks[at]!))) return texts;
    }
    return ticks.map((tick) => number(tick));
  };
  const fixed = shortest((value, digits) => value.toFixed(digits));
  const exponential = shortest((value, digits) => (value === 0 ? "0" : value.toExponential(digits)));
  return longest(fixed) > PLAIN_LENGTH && longest(exponential) < longest(fixed) ? exponential : fixed;
}

/** The length of the longest of these texts. */
export function longest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map((each) => each.length));
}

/** Any value that was logged, as one line of text. */
export function text(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return number(value);
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return String(value);
  if (typeof value === "object" && "__repr__" in value && typeof value.__repr__ === "string") return value.__repr__;
  return JSON.stringify(value);
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
