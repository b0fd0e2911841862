/** What a chart is drawn with: a canvas, or an SVG that papers can have. */

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Stroke {
  color: string;
  width: number;
  /** 0 to 1. */
  alpha: number;
  dash?: readonly number[];
}

export interface Text {
  color: string;
  size: number;
  align: "left" | "center" | "right";
  bold?: boolean;
}

/** Places in pixels from the upper left corner: x and y in turn, where NaN is a gap. */
export type Path = Float64Array;

export interface Pen {
  line(path: Path, stroke: Stroke): void;
  /** Fill what the path surrounds. */
  fill(path: Path, color: string, alpha: number): void;
  text(said: string, x: number, y: number, text: Text): void;
  /** Draw inside of a box only. */
  within(box: Box, draw: () => void): void;
}

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';

export class CanvasPen implements Pen {
  constructor(private readonly context: CanvasRenderingContext2D) {}

  line(path: Path, { color, width, alpha, dash = [] }: Stroke): void {
    const { context } = this;
    context.globalAlpha = alpha;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.setLineDash([...dash]);
    this.trace(path);
    context.stroke();
    context.globalAlpha = 1;
  }

  fill(path: Path, color: string, alpha: number): void {
    this.context.globalAlpha = alpha;
    this.context.fillStyle = color;
    this.trace(path);
    this.context.fill();
    this.context.globalAlpha = 1;
  }

  text(said: string, x: number, y: number, { color, size, align, bold }: Text): void {
    const { context } = this;
    context.fillStyle = color;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
    context.fillText(said, x, y);
  }

  within(box: Box, draw: () => void): void {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    draw();
    context.restore();
  }

  private trace(path: Path): void {
    const { context } = this;
    context.beginPath();
    let isOn = false;
    for (let at = 0; at < path.length; at += 2) {
      const [x, y] = [path[at]!, path[at + 1]!];
      if (Number.isNaN(y)) isOn = false;
      else if (isOn) context.lineTo(x, y);
      else {
        context.moveTo(x, y);
        isOn = true;
      }
    }
  }
}

export class SvgPen implements Pen {
  private readonly parts: string[] = [];
  private clips = 0;

  line(path: Path, { color, width, alpha, dash }: Stroke): void {
    const dashed = dash?.length ? ` stroke-dasharray="${dash.join(" ")}"` : "";
    this.parts.push(
      `<path d="${traced(path)}" fill="none" stroke="${color}" stroke-width="${width}" stroke-opacity="${short(alpha)}" stroke-linejoin="round"${dashed}/>`,
    );
  }

  fill(path: Path, color: string, alpha: number): void {
    this.parts.push(`<path d="${traced(path)}Z" fill="${color}" fill-opacity="${short(alpha)}"/>`);
  }

  text(said: string, x: number, y: number, { color, size, align, bold }: Text): void {
    const anchor = { left: "start", center: "middle", right: "end" }[align];
    const weight = bold ? ' font-weight="600"' : "";
    this.parts.push(
      `<text x="${short(x)}" y="${short(y)}" fill="${color}" font-size="${size}" text-anchor="${anchor}" dominant-baseline="central"${weight}>${escaped(said)}</text>`,
    );
  }

  within(box: Box, draw: () => void): void {
    const id = `clip${this.clips++}`;
    this.parts.push(
      `<clipPath id="${id}"><rect x="${short(box.left)}" y="${short(box.top)}" width="${short(box.width)}" height="${short(box.height)}"/></clipPath><g clip-path="url(#${id})">`,
    );
    draw();
    this.parts.push("</g>");
  }

  /** The picture as a file. */
  document(width: number, height: number, ground: string): string {
    const font = FONT.replaceAll('"', "'");
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${font}">` +
      `<rect width="${width}" height="${height}" fill="${ground}"/>${this.parts.join("")}</svg>\n`
    );
  }
}

function traced(path: Path): string {
  let said = "";
  let isOn = false;
  for (let at = 0; at < path.length; at += 2) {
    const y = path[at + 1]!;
    if (Number.isNaN(y)) isOn = false;
    else {
      said += `${isOn ? "L" : "M"}${short(path[at]!)} ${short(y)}`;
      isOn = true;
    }
  }
  return said;
}

function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
