/** Colours of runs: in OKLCH, so that they are as bright as one another, and told apart with any colour vision. */

import type { Theme } from "../../state/theme";

/** Lightness, chroma and hue (degrees) on a light ground. Lightness differs too: it is what every eye tells apart. */
type Lch = readonly [number, number, number];

/**
 * Found by a search for the twelve that lie furthest apart in both themes, for all eyes: protanopes, deuteranopes and
 * tritanopes too. The first six are those of them that lie furthest apart by themselves.
 */
const BASE: readonly Lch[] = [
  [0.4, 0.13, 136],
  [0.6, 0.09, 192],
  [0.6, 0.21, 312],
  [0.68, 0.17, 64],
  [0.74, 0.17, 160],
  [0.44, 0.21, 320],
  [0.54, 0.13, 88],
  [0.72, 0.09, 312],
  [0.46, 0.21, 272],
  [0.48, 0.21, 0],
  [0.52, 0.09, 296],
  [0.62, 0.17, 16],
];
/** By how much the second dozen is darker, and less colourful. */
const [DARKER, PALER] = [0.14, 0.75];
/** On a dark ground the same hues are lighter. */
const LIGHTER = 0.1;

export const COLORS = 2 * BASE.length;
/** So many, or fewer, have the first of them. */
const FEW = 6;

/** The colour of a place in the palette, as "#rrggbb". */
export function colorAt(place: number, theme: Theme): string {
  const [lightness, chroma, hue] = BASE[place % BASE.length]!;
  const isSecond = Math.floor(place / BASE.length) % 2 === 1;
  const shift = (theme === "dark" ? LIGHTER : 0) + (isSecond ? (lightness > 0.56 ? -DARKER : DARKER) : 0);
  return hex([Math.min(0.9, lightness + shift), chroma * (isSecond ? PALER : 1), hue]);
}

/** Colours along a scale from 0 to 1, from dark blue over green to yellow (as viridis). */
export function scaleColor(share: number, theme: Theme): string {
  const at = Math.min(1, Math.max(0, share));
  const lightness = theme === "dark" ? 0.45 + 0.45 * at : 0.3 + 0.5 * at;
  return hex([lightness, 0.12 + 0.04 * Math.sin(Math.PI * at), 300 - 205 * at]);
}

/** Places in the palette that were given to runs: a run keeps its own for as long as the page is open. */
const given = new Map<string, number>();

/**
 * Give each run a place that no other of them has, as long as there are any.
 *
 * It is made of the run's id, so that it is the same on another day and on somebody else's page where none is in its way.
 */
export function placesOf(ids: readonly string[]): ReadonlyMap<string, number> {
  // the first places lie furthest apart
  const first = ids.length <= FEW ? FEW : BASE.length;
  const taken = new Set<number>();
  const places = new Map<string, number>();
  for (const id of ids) {
    const known = given.get(id);
    if (known === undefined || (taken.has(known) && taken.size < COLORS)) continue;
    taken.add(known);
    places.set(id, known);
  }
  for (const id of ids) {
    if (places.has(id)) continue;
    const own = hashOf(id) % first;
    let place = own;
    // round the first ones, then the others
    for (let tries = 1; taken.has(place) && tries < COLORS; tries++) place = tries < first ? (own + tries) % first : tries;
    if (taken.has(place)) place = own;
    taken.add(place);
    places.set(id, place);
    given.set(id, place);
  }
  return places;
}

/** FNV-1a, of 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}

/** OKLCH as sRGB (Ottosson, 2020); what no screen shows is made less colourful until one does. */
export function hex([lightness, chroma, hue]: Lch): string {
  for (let share = 1; share > 0; share -= 0.05) {
    const channels = linear(lightness, chroma * share, (hue * Math.PI) / 180);
    if (share <= 0.05 || channels.every((value) => value >= -0.001 && value <= 1.001)) return written(channels);
  }
  return written(linear(lightness, 0, 0));
}

function linear(lightness: number, chroma: number, angle: number): [number, number, number] {
  const [a, b] = [chroma * Math.cos(angle), chroma * Math.sin(angle)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function written(channels: readonly number[]): string {
  const bytes = channels.map((value) => {
    const clipped = Math.min(1, Math.max(0, value));
    const encoded = clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055;
    return Math.round(encoded * 255).toString(16).padStart(2, "0");
  });
  return `#${bytes.join("")}`;
}
