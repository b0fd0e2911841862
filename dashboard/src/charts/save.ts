/** Saving what a chart shows. */

import type uPlot from "uplot";

import { type Table, tableOf } from "./csv";
import type { Line } from "./load";

const MARGIN = 12;
const HEAD = 28;

/** Save a chart as a picture, with its title, on the page's ground. */
export function savePng(plot: uPlot, title: string): void {
  const source = plot.ctx.canvas;
  const scale = devicePixelRatio;
  const canvas = document.createElement("canvas");
  canvas.width = source.width + 2 * MARGIN * scale;
  canvas.height = source.height + (HEAD + MARGIN) * scale;
  const context = canvas.getContext("2d")!;
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--surface").trim();
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = style.getPropertyValue("--ink").trim();
  context.font = `600 ${13 * scale}px system-ui, sans-serif`;
  context.fillText(title, MARGIN * scale, 20 * scale);
  context.drawImage(source, MARGIN * scale, HEAD * scale);
  canvas.toBlob((blob) => blob && save(blob, `${fileName(title)}.png`), "image/png");
}

/** Save the rows of lines; what is written so far is given to the browser, and not kept here as one text. */
export async function saveCsv(
  lines: readonly Line[],
  table: Table,
  signal: AbortSignal,
  onShare: (share: number) => void,
): Promise<void> {
  const parts: Blob[] = [];
  for await (const part of tableOf(lines, table, signal, onShare)) parts.push(new Blob([part]));
  save(new Blob(parts, { type: "text/csv" }), `${fileName(table.title)}.csv`);
}

function fileName(title: string): string {
  return title.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 100) || "chart";
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
