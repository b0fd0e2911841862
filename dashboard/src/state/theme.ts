/** Dark or light: as the system says, unless somebody has chosen. */

import { effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";

const KEY = "ml-dash-theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function initial(): Theme {
  const chosen = localStorage.getItem(KEY);
  return chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light";
}

export const theme = signal<Theme>(initial());

dark.addEventListener("change", () => {
  if (localStorage.getItem(KEY) === null) theme.value = dark.matches ? "dark" : "light";
});

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

export function switchTheme(): void {
  theme.value = theme.peek() === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, theme.peek());
}
