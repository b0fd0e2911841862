/** The table of runs as comma-separated values (RFC 4180), with every digit. */

import { encode } from "../../api/json";
import type { ListedExperiment } from "../../api/types";
import { type Column, valueOf } from "./columns";
import { nameIn } from "./runs";
import { fileName, saveAs } from "./save";

export function saveTable(runs: readonly ListedExperiment[], columns: readonly Column[], folder: string, now: number): void {
  const name = fileName(folder ? `${folder}-runs` : "runs");
  saveAs(new Blob([tableText(runs, columns, folder, now)], { type: "text/csv" }), `${name}.csv`);
}

export function tableText(runs: readonly ListedExperiment[], columns: readonly Column[], folder: string, now: number): string {
  const heads = ["name", ...columns.map((column) => column.key)];
  const rows = runs.map((run) => [nameIn(run, folder), ...columns.map((column) => said(valueOf(column, run, now)))]);
  return [heads, ...rows].map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}

function said(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value.join(" ");
  return typeof value === "string" ? value : encode(value);
}

/** A text that a spreadsheet would take for a formula is made one that it does not; numbers may be negative. */
function cell(text: string): string {
  const isFormula = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text));
  const safe = isFormula ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
