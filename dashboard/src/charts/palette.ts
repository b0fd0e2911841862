/** Colours of lines: told apart by people with any colour vision, on light and dark (after Okabe and Ito, 2008). */

export const PALETTE = ["#2f81f7", "#e8590c", "#12a594", "#c2368f", "#b68d00", "#7c5cff", "#5b9a1f", "#d6336c"];

export function colorOf(index: number): string {
  return PALETTE[index % PALETTE.length]!;
}

/** The colour with some transparency, 0 to 1. */
export function faint(color: string, opacity: number): string {
  return `${color}${Math.round(opacity * 255)
    .toString(16)
    .padStart(2, "0")}`;
}
