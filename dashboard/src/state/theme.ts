/** Dark or light: as the system says, unless somebody has chosen. */

import { computed, effect, signal } from "@preact/signals";

import { printing } from "./printing";

export type Theme = "light" | "dark";

const KEY = "ml-dash-theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function initial(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : dark.matches ? "dark" : "light";
}

const chosen = signal<Theme>(initial());

/** As it is shown: paper is white. */
export const theme = computed<Theme>(() => (printing.value ? "light" : chosen.value));

dark.addEventListener("change", () => {
  if (localStorage.getItem(KEY) === null) chosen.value = dark.matches ? "dark" : "light";
});

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

export function switchTheme(): void {
  chosen.value = chosen.peek() === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, chosen.peek());
}
