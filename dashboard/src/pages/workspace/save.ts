/** Charts and tables as files. */

import { saveCsv } from "../../charts/save";
import type { Line } from "./lines";
import { CanvasPen, type Pen, SvgPen } from "./plot/pen";
import { paint } from "./plot/paint";
import { inks, type Scene } from "./plot/surface";
import type { Bounds } from "./panel/settings";
import type { ChartOf } from "./sections";

const [HEAD, LEGEND_LINE, MARGIN, LEGEND_MAX] = [26, 16, 12, 24];
const SWATCH = 14;

/** Save a chart as a picture, with its title and a legend, on the page's ground. */
export function savePng(scene: Scene, title: string, axis: string): void {
  const size = sizeOf(scene);
  const canvas = document.createElement("canvas");
  const ratio = Math.max(2, devicePixelRatio);
  canvas.width = size.width * ratio;
  canvas.height = size.height * ratio;
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  context.fillStyle = colorOf("--surface");
  context.fillRect(0, 0, size.width, size.height);
  figure(new CanvasPen(context), scene, title, axis);
  canvas.toBlob((blob) => blob && saveAs(blob, `${fileName(title)}.png`), "image/png");
}

export function saveSvg(scene: Scene, title: string, axis: string): void {
  const pen = new SvgPen();
  figure(pen, scene, title, axis);
  const { width, height } = sizeOf(scene);
  saveAs(new Blob([pen.document(width, height, colorOf("--surface"))], { type: "image/svg+xml" }), `${fileName(title)}.svg`);
}

/** The chart as it stands by itself: what the run set says beside it on the page is said below it here. */
function figure(pen: Pen, scene: Scene, title: string, axis: string): void {
  const ink = colorOf("--ink");
  pen.text(title, MARGIN, HEAD / 2, { color: ink, size: 13, align: "left", bold: true });
  const { box } = scene.axes;
  const moved = { ...scene.axes, box: { ...box, top: box.top + HEAD } };
  paint(pen, moved, scene.traces, inks());
  if (axis) pen.text(axis, box.left + box.width, moved.box.top + box.height + 11, { color: inks().ink, size: 10.5, align: "right" });
  let top = HEAD + scene.height + LEGEND_LINE / 2;
  for (const trace of scene.traces.slice(0, LEGEND_MAX)) {
    pen.line(Float64Array.of(box.left, top, box.left + SWATCH, top), { color: trace.color, width: 2.5, alpha: 1 });
    pen.text(trace.label, box.left + SWATCH + 6, top, { color: ink, size: 11, align: "left" });
    top += LEGEND_LINE;
  }
  const left = scene.traces.length - LEGEND_MAX;
  if (left > 0) pen.text(`and ${left} more`, box.left, top, { color: ink, size: 11, align: "left" });
}

function sizeOf(scene: Scene): { width: number; height: number } {
  const lines = Math.min(scene.traces.length, LEGEND_MAX + 1);
  return { width: scene.width + MARGIN, height: HEAD + scene.height + lines * LEGEND_LINE + MARGIN };
}

function colorOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Save the rows of a chart's lines, each as it was logged; of what is worked out there are none. */
export async function saveRows(lines: readonly Line[], { title, fields }: ChartOf, axis: string, bounds: Bounds | null): Promise<void> {
  const started = new Map(lines.map(({ run }) => [run.id, Date.parse(run.startedAt ?? run.createdAt) / 1000]));
  const logged = lines.flatMap(({ run, source, of }) =>
    source.field === undefined || source.experiment === undefined
      ? []
      : [
          {
            key: `${of.key} ${of.label}`,
            label: of.label,
            color: of.color,
            experimentId: run.id,
            name: source.metric ?? null,
            field: source.field,
            ...(source.attempt === undefined ? {} : { attempt: Number(source.attempt) }),
            ...(source.rank === undefined ? {} : { rank: source.rank }),
          },
        ],
  );
  const originOf = ({ experimentId }: { experimentId: string }): number => started.get(experimentId) ?? 0;
  const range = bounds && ([bounds[0] ?? Number.NEGATIVE_INFINITY, bounds[1] ?? Number.POSITIVE_INFINITY] as const);
  const isElsewhere = !fields.includes(axis);
  await saveCsv(logged, { title, x: axis, isElsewhere, range, originOf }, new AbortController().signal, () => undefined);
}

export function fileName(title: string): string {
  return title.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 100) || "chart";
}

export function saveAs(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
