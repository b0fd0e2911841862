/** The corner by which a chart is made wider, in whole charts, and higher. */

import { MoveDiagonal2 } from "lucide-preact";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";

import { COLUMNS_MAX, HEIGHT_LEAST, HEIGHT_MAX } from "./settings";

export interface Size {
  columns: number;
  height: number;
}

const [SNAP, KEY_STEP] = [10, 20];

export function Resize(props: {
  title: string;
  size: Size;
  /** Charts that stand side by side. */
  most: number;
  /** While it is dragged; null where it has come to rest. */
  onMove: (size: Size | null) => void;
  /** Null for the size of all charts. */
  onSize: (size: Size | null) => void;
}): JSX.Element {
  const { size, most } = props;
  const from = useRef<{ left: number; top: number; width: number; size: Size; next: Size } | null>(null);

  function within(columns: number, height: number): Size {
    return {
      columns: Math.max(1, Math.min(most, COLUMNS_MAX, columns)),
      height: Math.max(HEIGHT_LEAST, Math.min(HEIGHT_MAX, Math.round(height / SNAP) * SNAP)),
    };
  }

  function onDown(event: JSX.TargetedPointerEvent<HTMLElement>): void {
    event.currentTarget.setPointerCapture(event.pointerId);
    const { width } = event.currentTarget.closest(".tile")!.getBoundingClientRect();
    from.current = { left: event.clientX, top: event.clientY, width: width / size.columns, size, next: size };
  }

  function onMove(event: PointerEvent): void {
    const begun = from.current;
    if (!begun) return;
    const wider = Math.round((event.clientX - begun.left) / begun.width);
    const next = within(begun.size.columns + wider, begun.size.height + event.clientY - begun.top);
    if (next.columns === begun.next.columns && next.height === begun.next.height) return;
    begun.next = next;
    props.onMove(next);
  }

  function onUp(): void {
    const begun = from.current;
    from.current = null;
    if (!begun || begun.next === begun.size) return;
    props.onMove(null);
    props.onSize(begun.next);
  }

  function onKey(event: KeyboardEvent): void {
    const [wider, higher] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -KEY_STEP], ArrowDown: [0, KEY_STEP] }[event.key] ?? [];
    if (wider === undefined || higher === undefined) return;
    // the arrows of the page go through the run set
    event.preventDefault();
    event.stopPropagation();
    props.onSize(within(size.columns + wider, size.height + higher));
  }

  return (
    <button
      type="button"
      class="icon resize"
      aria-label={`Size of ${props.title}`}
      title="Drag, or use the arrows, to resize; double-click for the size of all charts"
      onPointerDown={onDown}
      onPointerMove={onMove}
      onPointerUp={onUp}
      onPointerCancel={onUp}
      onDblClick={() => props.onSize(null)}
      onKeyDown={onKey}
    >
      <MoveDiagonal2 />
    </button>
  );
}
