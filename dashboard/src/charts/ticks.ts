/**
 * Which part of an axis is shown, and where its ticks are, for doubles of any size that lie as close as doubles can.
 *
 * uPlot's own ticks end at steps of 1e-32 and 5e31, and add them up: where a step is lost beside the value (1e150 + 5e31),
 * that goes on until memory ends. Here a tick is a whole multiple of its step, written in decimals and read back.
 */

export interface Tick {
  value: number;
  text: string;
}

type Range = [number, number];

/** Room on both sides of what is drawn, as a share of it. */
const PAD = 0.1;
/** The least width of an axis as a share of its values: 16 of the steps in which doubles go there. */
const CLOSEST = 2 ** -48;
/** The least distance of two ticks, as such a share: a few of these steps. */
const APART = 2 ** -50;
/** Differences below are not told apart: their steps would have no digits left. */
const SMALLEST = 1e-300;
/** Up to here a number is easier to read written out than with an exponent. */
const PLAIN_LENGTH = 7;
const STEPS = [1, 2, 5, 10] as const;
/** A step of 1.0000000000000002 is 1. */
const ROUNDING = 1e-9;

/** Return the range of an axis on which these values lie with some room around them; 0 is its end where that is near. */
export function padded(low: number, high: number): Range {
  // parts, here and below: the difference of the largest doubles is infinite
  const room = low === high ? Math.abs(low) || 1 : PAD * high - PAD * low;
  const [from, to] = widened(low - room, high + room);
  return [low >= 0 && from < 0 ? 0 : from, high <= 0 && low < 0 && to > 0 ? 0 : to];
}

/** Return the range of a logarithmic axis for these values, all above 0. */
export function paddedLog(low: number, high: number): Range {
  // close together, a logarithm is a straight line, and its own room would be lost in rounding
  const room = PAD * (high - low);
  if (low < high && high / low < 2 && low > SMALLEST) return widened(low - room, high + room, 0);
  const isShort = low === high || high < SMALLEST;
  const factor = isShort ? 10 : 10 ** ((PAD / 2) * (Math.log10(high) - Math.log10(low)));
  return [Math.max(Number.MIN_VALUE, low / factor), Math.min(Number.MAX_VALUE, high * factor)];
}

/** Return a range around this one in which there are doubles enough for ticks, and whose ends are finite. */
export function widened(low: number, high: number, least = SMALLEST): Range {
  const [from, to] = [finite(low), finite(high)];
  const half = Math.max(least, largest(from, to) * CLOSEST) / 2;
  if (to / 2 - from / 2 >= half) return [from, to];
  const middle = Math.min(Number.MAX_VALUE - half, Math.max(half - Number.MAX_VALUE, from / 2 + to / 2));
  return [middle - half, middle + half];
}

function largest(low: number, high: number): number {
  return Math.max(Math.abs(low), Math.abs(high));
}

function finite(value: number): number {
  return Math.min(Number.MAX_VALUE, Math.max(-Number.MAX_VALUE, value));
}

/** Return ticks in a range, `most` at most: multiples of 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number, most: number): Tick[] {
  const count = Math.max(1, most);
  const least = Math.max(high / count - low / count, largest(low, high) * APART, SMALLEST / 100);
  const [mantissa, scale] = least.toExponential().split("e").map(Number) as Range;
  const found = STEPS.find((each) => each >= mantissa * (1 - ROUNDING))!;
  const [digits, power] = found === 10 ? [1, scale + 1] : [found, scale];
  const step = Number(`${digits}e${power}`);
  const numbers: bigint[] = [];
  // one more at both ends, since a quotient is rounded
  for (let at = Math.floor(low / step); at <= Math.ceil(high / step); at++) numbers.push(BigInt(at) * BigInt(digits));
  const inside = numbers.filter((each) => {
    const value = Number(exponent(each, power));
    return value >= low && value <= high;
  });
  return texts(inside, power).map((text) => ({ value: Number(text), text }));
}

/** Return ticks of a logarithmic axis: powers of ten, with their multiples where there is room for these. */
export function logTicks(low: number, high: number, most: number): Tick[] {
  const [first, last] = [Math.ceil(Math.log10(low)), Math.floor(Math.log10(high))];
  const decades = Math.log10(high) - Math.log10(low);
  const multiples = decades * 3 <= most ? [1, 2, 5] : [1];
  const every = multiples.length === 3 ? 1 : Math.max(1, Math.ceil((last - first + 1) / Math.max(1, most)));
  const found: Tick[] = [];
  for (let power = Math.ceil((first - 1) / every) * every; power <= last; power += every) {
    for (const digits of multiples) {
      const text = texts([BigInt(digits)], power)[0]!;
      const value = Number(text);
      if (value >= low && value <= high) found.push({ value, text });
    }
  }
  return found.length > 2 || (found.length === 2 && decades >= 1) ? found : ticks(low, high, most);
}

/** Write numbers of so many times 10^power: in plain digits, or with exponents where that is shorter and they are long. */
function texts(numbers: readonly bigint[], power: number): string[] {
  const exponential = numbers.map((each) => exponent(each, power));
  if (Math.abs(power) > 30) return exponential;
  const plain = numbers.map((each) => written(each, power));
  return longest(plain) > PLAIN_LENGTH && longest(exponential) < longest(plain) ? exponential : plain;
}

function written(number: bigint, power: number): string {
  if (power >= 0) return String(number * 10n ** BigInt(power));
  const digits = String(number < 0n ? -number : number).padStart(1 - power, "0");
  return `${number < 0n ? "-" : ""}${digits.slice(0, power)}.${digits.slice(power)}`;
}

function exponent(number: bigint, power: number): string {
  if (number === 0n) return "0";
  const digits = String(number < 0n ? -number : number);
  const rest = digits.slice(1).replace(/0+$/, "");
  const scale = power + digits.length - 1;
  return `${number < 0n ? "-" : ""}${digits[0]}${rest && `.${rest}`}e${scale < 0 ? "" : "+"}${scale}`;
}

/** What stands for thousands, millions and so on, and up to which number doubles are whole. */
const PREFIXES = ["", "k", "M", "G", "T"] as const;
const WHOLE_MAX = 1e15;
/** Decimals before a prefix: with more of them the number itself is easier to read. */
const DECIMALS_MAX = 2;

/** Write ticks with one SI prefix for all of them, as 2.5k for 2500, where that is shorter. */
export function prefixed(made: Tick[]): Tick[] {
  const power = prefixOf(Math.max(0, ...made.map(({ value }) => Math.abs(value))));
  if (!power || !made.every(({ value }) => Number.isInteger(value) && Math.abs(value) < WHOLE_MAX)) return made;
  const decimals = Math.max(0, ...made.map(({ value }) => 3 * power - zerosOf(value)));
  if (decimals > DECIMALS_MAX) return made;
  const written = made.map(({ value }) => ({ value, text: value ? `${(value / 1000 ** power).toFixed(decimals)}${PREFIXES[power]}` : "0" }));
  return longest(written.map((tick) => tick.text)) < longest(made.map((tick) => tick.text)) ? written : made;
}

/** The same of a logarithmic axis, where each has a prefix of its own. */
export function eachPrefixed(made: Tick[]): Tick[] {
  return made.map((tick) => prefixed([tick])[0]!);
}

function prefixOf(size: number): number {
  return size < 1000 ? 0 : Math.min(PREFIXES.length - 1, Math.floor((String(BigInt(Math.floor(Math.min(size, WHOLE_MAX)))).length - 1) / 3));
}

/** How many zeros a whole number ends with; of 0 as many as there can be. */
function zerosOf(value: number): number {
  return value ? /0*$/.exec(String(Math.abs(value)))![0].length : Infinity;
}

/** So many times the ticks that were asked for are tried, to have two. */
const DENSEST = 4;

/**
 * Return as many ticks of a linear axis as were asked for at most, and as have room for their texts on so many
 * characters beside one another: two or more, where that can be, since an axis with none says nothing.
 *
 * @param write Gives them the texts that need the room.
 */
export function fitting(low: number, high: number, most: number, characters = Infinity, write = (made: Tick[]): Tick[] => made): Tick[] {
  const hasRoom = (found: Tick[]) => {
    const share = (found[1]!.value / 2 - found[0]!.value / 2) / (high / 2 - low / 2);
    return share * characters > longest(found.map((tick) => tick.text)) + 1;
  };
  for (let count = most; count > 1; count--) {
    const found = write(ticks(low, high, count));
    if (found.length < 2) break;
    if (hasRoom(found)) return found;
  }
  // The range may lie between two round numbers: from 0.5 to 609 only 500 is a multiple of 500, and of 200 there are three.
  let one: Tick[] = [];
  for (let count = 1; count <= DENSEST * most; count++) {
    const found = write(ticks(low, high, count));
    if (found.length === 1) one = found;
    if (found.length > 1) return hasRoom(found) ? found : one.length ? one : found.slice(0, 1);
  }
  return one;
}

/** The length of the longest of these texts. */
export function longest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map((each) => each.length));
}
