/** Texts that were written for a terminal, as they look there in the end; and texts in which nothing is hidden or turned around. */

/** Colours by name, as the styles have them; black and white are those of the page. */
export type Color = "red" | "green" | "yellow" | "blue" | "magenta" | "cyan";

export interface Style {
  color?: Color;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
}

export interface Span {
  text: string;
  style: Style;
}

interface Cell {
  character: string;
  style: Style;
}

/**
 * Escape sequences (ECMA-48): those with parameters (CSI) by parameters and their last character, texts for the terminal
 * itself (titles, addresses of links) up to their end, and the short ones. One that was cut off ends with the text.
 */
const ESCAPE =
  /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~]|$)|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)|\x1b[ -/]*(?:[0-~]|$)/y;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/;
/** What turns the direction of what comes after it, in the text and behind it: shown, it turns nothing. */
export const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;
const COLORS: readonly (Color | undefined)[] = [undefined, "red", "green", "yellow", "blue", "magenta", "cyan", undefined];
/** A cursor that is sent farther would fill the memory. */
const COLUMN_MAX = 10_000;

/** Return the lines of a text: what is overwritten is gone, colours are kept, and what else a terminal would do is nothing. */
export function terminalLines(text: string): Span[][] {
  const given = text.replaceAll("\r\n", "\n").replace(/\n$/, "").replace(TURNING, escaped);
  if (!CONTROL.test(given)) return given.split("\n").map((line) => [{ text: line, style: {} }]);
  const screen = new Screen();
  let at = 0;
  while (at < given.length) {
    ESCAPE.lastIndex = at;
    const sequence = ESCAPE.exec(given);
    if (sequence) {
      at += sequence[0].length;
      if (sequence[2]) screen.obey(sequence[1]!, sequence[2]);
      continue;
    }
    const character = String.fromCodePoint(given.codePointAt(at)!);
    at += character.length;
    screen.put(character);
  }
  return screen.lines();
}

/** Return a text on one line without what a terminal would obey, for names and values. */
export function plain(text: string): string {
  return terminalLines(text)
    .map((line) => line.map((span) => span.text).join(""))
    .join("\n");
}

/** A terminal, as far as what was written to it is to be seen. */
class Screen {
  private rows: Cell[][] = [[]];
  private row = 0;
  private column = 0;
  private style: Style = {};

  put(character: string): void {
    if (character === "\n") this.move(this.row + 1, 0);
    else if (character === "\r") this.column = 0;
    else if (character === "\b") this.column = Math.max(0, this.column - 1);
    else if (character === "\t" || !CONTROL.test(character)) this.write(character);
  }

  /** Do what a sequence says that moves, erases or colours. */
  obey(parameters: string, last: string): void {
    const numbers = parameters.split(/[;:]/).map(Number);
    const count = Math.max(1, numbers[0] || 0);
    const cells = this.rows[this.row]!;
    if (last === "m") this.style = styled(this.style, numbers);
    else if (last === "A") this.move(this.row - count, this.column);
    else if (last === "B") this.move(this.row + Math.min(count, this.rows.length - 1 - this.row), this.column);
    else if (last === "C") this.column = Math.min(COLUMN_MAX, this.column + count);
    else if (last === "D") this.column = Math.max(0, this.column - count);
    else if (last === "G") this.column = Math.min(COLUMN_MAX, count - 1);
    else if (last === "K" && numbers[0] === 2) cells.length = 0;
    else if (last === "K" && !numbers[0]) cells.length = Math.min(cells.length, this.column);
  }

  lines(): Span[][] {
    return this.rows.map((cells) => {
      const spans: Span[] = [];
      for (const { character, style } of cells) {
        const before = spans.at(-1);
        if (before && before.style === style) before.text += character;
        else spans.push({ text: character, style });
      }
      return spans.length ? spans : [{ text: "", style: {} }];
    });
  }

  private write(character: string): void {
    const cells = this.rows[this.row]!;
    const blank = { character: " ", style: {} };
    while (cells.length < this.column) cells.push(blank);
    cells[this.column] = { character, style: this.style };
    this.column += 1;
  }

  private move(row: number, column: number): void {
    this.row = Math.max(0, row);
    this.column = column;
    while (this.rows.length <= this.row) this.rows.push([]);
  }
}

/** The style after a sequence of graphic renditions. */
function styled(style: Style, numbers: readonly number[]): Style {
  let next: Style = { ...style };
  for (let at = 0; at < numbers.length; at++) {
    const number = numbers[at]!;
    if (number === 0) next = {};
    else if (number === 1) next.bold = true;
    else if (number === 2) next.dim = true;
    else if (number === 3) next.italic = true;
    else if (number === 4) next.underline = true;
    else if (number === 22) next = without(next, "bold", "dim");
    else if (number === 23) next = without(next, "italic");
    else if (number === 24) next = without(next, "underline");
    else if ((number >= 30 && number <= 37) || (number >= 90 && number <= 97)) next = colored(next, COLORS[number % 10]);
    else if (number === 39) next = without(next, "color");
    else if (number === 38 || number === 48) {
      // of 256 colours, or of red, green and blue
      const length = numbers[at + 1] === 2 ? 4 : 2;
      if (number === 38) next = colored(next, length === 4 ? nearest(numbers.slice(at + 2, at + 5)) : ofPalette(numbers[at + 2] ?? 0));
      at += length;
    }
  }
  return next;
}

function without(style: Style, ...names: (keyof Style)[]): Style {
  return Object.fromEntries(Object.entries(style).filter(([name]) => !names.includes(name as keyof Style)));
}

function colored(style: Style, color: Color | undefined): Style {
  return color ? { ...style, color } : without(style, "color");
}

/** Of the 256 colours: 16 named ones, a cube of 6 × 6 × 6, and greys. */
function ofPalette(index: number): Color | undefined {
  if (index < 16) return COLORS[index % 8];
  if (index >= 232) return undefined;
  const cube = index - 16;
  return nearest([Math.floor(cube / 36) * 51, (Math.floor(cube / 6) % 6) * 51, (cube % 6) * 51]);
}

/** The colour of the page that has most of the same light: others could be as light, or as dark, as its ground. */
function nearest([red = 0, green = 0, blue = 0]: readonly number[]): Color | undefined {
  const [least, most] = [Math.min(red, green, blue), Math.max(red, green, blue)];
  if (most - least < 40) return undefined;
  const half = (least + most) / 2;
  const index = Number(red > half) + 2 * Number(green > half) + 4 * Number(blue > half);
  return COLORS[index];
}

/** A character by its number, as Python writes it. */
export function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
