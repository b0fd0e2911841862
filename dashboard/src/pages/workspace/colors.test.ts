import { expect, test } from "vitest";

import type { Theme } from "../../state/theme";
import { colorAt, COLORS, hex, placesOf } from "./colors";

type Rgb = [number, number, number];

const GROUND: Record<Theme, string> = { light: "#ffffff", dark: "#161b23" };
/** What people see who lack a kind of cone (Machado, Oliveira and Fernandes, 2009; severity 1), on linear channels. */
const VISIONS: Record<string, number[]> = {
  all: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protan: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  tritan: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
  deutan: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
};

/** How far apart any two must be in OKLab; tritanopes are one in ten thousand. */
const LEAST: Record<string, number> = { all: 0.14, protan: 0.09, deutan: 0.09, tritan: 0.06 };

function linear(color: string): Rgb {
  const bytes = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16) / 255);
  return bytes.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)) as Rgb;
}

function seen([r, g, b]: Rgb, m: readonly number[]): Rgb {
  return [0, 3, 6].map((at) => m[at]! * r + m[at + 1]! * g + m[at + 2]! * b) as Rgb;
}

/** OKLab (Ottosson, 2020). */
function lab([r, g, b]: Rgb): Rgb {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function luminance(color: string): number {
  const [r, g, b] = linear(color);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

test.each(["light", "dark"] as const)("the first twelve colours are told apart on a %s ground, with any colour vision", (theme) => {
  const colors = Array.from({ length: 12 }, (_, place) => colorAt(place, theme));
  for (const [vision, matrix] of Object.entries(VISIONS)) {
    const points = colors.map((color) => lab(seen(linear(color), matrix)));
    for (let a = 0; a < points.length; a++) {
      for (let b = 0; b < a; b++) {
        const distance = Math.hypot(...points[a]!.map((value, at) => value - points[b]![at]!));
        expect.soft(distance, `${colors[a]} and ${colors[b]}`).toBeGreaterThan(LEAST[vision]!);
      }
    }
  }
});

test.each(["light", "dark"] as const)("each colour is seen on a %s ground, and none is there twice", (theme) => {
  const colors = Array.from({ length: COLORS }, (_, place) => colorAt(place, theme));
  expect(new Set(colors).size).toBe(COLORS);
  for (const color of colors) {
    const [low, high] = [luminance(color), luminance(GROUND[theme])].sort((a, b) => a - b) as [number, number];
    expect.soft((high + 0.05) / (low + 0.05), color).toBeGreaterThan(2);
  }
});

test("as few as six have the six that lie furthest apart", () => {
  const places = placesOf(["=size=125M", "=size=350M", "=size=1.3B"]);
  expect(Math.max(...places.values())).toBeLessThan(6);
  expect(new Set(places.values()).size).toBe(3);
});

test("a dozen has the first twelve, and more than there are colours are spread over all of them", () => {
  const dozen = placesOf(Array.from({ length: 12 }, (_, at) => `dozen_${at}`));
  expect(new Set(dozen.values())).toEqual(new Set(Array.from({ length: 12 }, (_, at) => at)));
  const many = [...placesOf(Array.from({ length: 400 }, (_, at) => `many_${at}`)).values()];
  const most = Math.max(...Array.from({ length: COLORS }, (_, place) => many.filter((each) => each === place).length));
  expect(most).toBeLessThan(60);
});

test("OKLCH becomes sRGB", () => {
  expect(hex([1, 0, 0])).toBe("#ffffff");
  expect(hex([0.627966, 0.257704, 29.2346])).toBe("#ff0000");
});

test("a run keeps its colour, and no two have the same one while there are others", () => {
  const ids = Array.from({ length: COLORS }, (_, at) => `exp_${at}`);
  const places = placesOf(ids);
  expect(new Set(places.values()).size).toBe(COLORS);
  expect(placesOf(["exp_new", ...ids.slice(3)]).get("exp_5")).toBe(places.get("exp_5"));
  expect(placesOf([...ids, "exp_a", "exp_b"]).size).toBe(COLORS + 2);
});
